-- Ids have 64 bits here.
SELECT 1;
