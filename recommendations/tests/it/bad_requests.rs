//! What is refused, and with which sentence.

use proto::recommendations::{
    CreatePreferenceRequest, DeletePreferenceRequest, FilmUpdate, GetPreferencesRequest,
    MarkFilmsRequest, RecommendationsRequest, RemoveFilmRequest, WatchRecommendationsRequest,
    recommendations_server::Recommendations,
};
use recommendations::system::Tuning;
use tonic::{Code, Request};

use crate::support::{Replica, film, on_every_database, refusal};

const USER: &str = "user_id must be from 0 to 2147483647";
const FILM_ID: &str = "film_id must have 1 to 36 characters, without white space";

#[test]
fn bad_requests_are_refused_with_what_is_accepted() {
    on_every_database("bad_requests", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        let service = &replica.service;
        let invalid = |sentence: &str| (Code::InvalidArgument, sentence.to_owned());

        for (user_id, keyword, sentence) in [
            (1, "", "a keyword needs at least one letter or digit"),
            (1, " \t ", "a keyword needs at least one letter or digit"),
            (1, "?!", "a keyword needs at least one letter or digit"),
            (
                1,
                "a\nb",
                "a keyword is one line of text, without control characters",
            ),
            (1, &"x".repeat(256), "a keyword has at most 255 characters"),
            (-1, "heist", USER),
        ] {
            let keyword = keyword.to_owned();
            let request = Request::new(CreatePreferenceRequest { user_id, keyword });
            assert_eq!(
                refusal(service.create_preference(request).await),
                invalid(sentence)
            );
        }
        for (user_id, keyword, sentence) in [
            (1, " ", "keyword must have 1 to 255 characters"),
            (1, &"x".repeat(256), "keyword must have 1 to 255 characters"),
            (i32::MIN, "heist", USER),
        ] {
            let keyword = keyword.to_owned();
            let request = Request::new(DeletePreferenceRequest { user_id, keyword });
            assert_eq!(
                refusal(service.delete_preference(request).await),
                invalid(sentence)
            );
        }
        let request = MarkFilmsRequest {
            user_id: 1,
            film_ids: Vec::new(),
            keyword: "x".repeat(256),
        };
        assert_eq!(
            refusal(service.mark_films(Request::new(request)).await),
            invalid("keyword must have 1 to 255 characters")
        );
        let request = Request::new(GetPreferencesRequest { user_id: -5 });
        assert_eq!(
            refusal(service.get_preferences(request).await),
            invalid(USER)
        );
        let request = Request::new(WatchRecommendationsRequest { user_id: -5 });
        let watched = service.watch_recommendations(request).await.map(|_| ());
        assert_eq!(refusal(watched), invalid(USER));

        for (user_id, sentence) in [
            ("one", "Invalid user_id format. Must be an integer."),
            ("", "Invalid user_id format. Must be an integer."),
            ("4294967297", USER),
        ] {
            let user_id = user_id.to_owned();
            let request = RecommendationsRequest {
                user_id,
                ..RecommendationsRequest::default()
            };
            let answer = service.get_recommendations(Request::new(request)).await;
            assert_eq!(refusal(answer), invalid(sentence));
        }

        let bad_films = [
            (film("", "x", 1), FILM_ID),
            (film(&"f".repeat(37), "x", 1), FILM_ID),
            (
                film("f1", &"x".repeat(256), 1),
                "title must have at most 255 characters",
            ),
            (
                FilmUpdate {
                    rating: f64::INFINITY,
                    ..film("f1", "x", 1)
                },
                "rating must be a finite number",
            ),
        ];
        for (film, sentence) in bad_films {
            let answer = service.process_film_update(Request::new(film)).await;
            assert_eq!(refusal(answer), invalid(sentence));
        }
        let request = Request::new(RemoveFilmRequest::default());
        assert_eq!(
            refusal(service.remove_film(request).await),
            invalid(FILM_ID)
        );

        assert_eq!(
            replica.number("SELECT COUNT(*) AS number FROM films").await,
            0
        );
        assert_eq!(
            replica.number("SELECT COUNT(*) AS number FROM prefs").await,
            0
        );
        replica.stop().await;
    });
}
