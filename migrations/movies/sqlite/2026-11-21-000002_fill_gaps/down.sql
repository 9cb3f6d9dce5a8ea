-- What was a gap is not known any more; nothing has to be undone for older deployments to go on.
SELECT 1;
