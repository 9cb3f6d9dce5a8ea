-- The columns hold all that they held before; nothing has to be undone for older deployments to go on.
SELECT 1;
