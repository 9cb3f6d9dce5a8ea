-- The version of the rules of matching by which the stored recommendations were made. A program with newer rules matches
-- all films again.
INSERT OR IGNORE INTO sequences (name, value) VALUES ('rules', 1);
