-- Pages are read newest first, also those of one genre, from the index alone; only the movies of the
-- page itself are looked up in the table.
CREATE INDEX movies_newest ON movies (created_at, id, genre);
CREATE INDEX movies_genre ON movies (genre);
