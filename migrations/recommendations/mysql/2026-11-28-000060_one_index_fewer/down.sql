ALTER TABLE recommendations
    DROP KEY recommendations_film_user,
    ADD KEY recommendations_film_user (film_id, user_id),
    ADD UNIQUE KEY recommendations_user_film (user_id, film_id);
