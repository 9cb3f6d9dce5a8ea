-- SQLite's columns hold every character and fraction as they are; this step is MySQL's.
SELECT 1;
