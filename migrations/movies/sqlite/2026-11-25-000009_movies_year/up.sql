-- The films of a year, newest first, with the titles among which one is looked for.
CREATE INDEX movies_year ON movies (release_year, created_at, id, title);
