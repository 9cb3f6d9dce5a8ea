DROP TABLE deleted_movies;
