//! A new preference that many known films match.

use std::time::Instant;

use proto::recommendations::{CreatePreferenceRequest, RecommendationsRequest};

use super::{
    films, folder, keywords,
    program::{PATIENCE, Program},
    report::{self, Spread},
};

const MATCHES: usize = 10_000;
const TIMES: i32 = 10;

pub(crate) async fn run() {
    let (name, films) = films::films();
    let (keyword, _) = keywords::met_by(&films, MATCHES);
    let met = keywords::matches(std::slice::from_ref(&keyword), &films);
    let met = i32::try_from(met.iter().sum::<usize>()).unwrap();
    let folder = folder::with_films(name, films).await;
    let program = Program::start(folder.path()).await;
    let mut client = program.recommendations().await;
    let (mut answers, mut all) = (Vec::new(), Vec::new());
    for user_id in 1..=TIMES {
        let keyword = keyword.clone();
        let begun = Instant::now();
        let preference = CreatePreferenceRequest { user_id, keyword };
        client.create_preference(preference).await.unwrap();
        answers.push(begun.elapsed());
        let request = RecommendationsRequest {
            user_id: user_id.to_string(),
            max_results: 1,
            ..RecommendationsRequest::default()
        };
        let mut total = 0;
        while total < met {
            assert!(
                begun.elapsed() < PATIENCE,
                "{total} of {met} films are recommended"
            );
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            let answer = client.get_recommendations(request.clone()).await.unwrap();
            total = answer.into_inner().total;
        }
        all.push(begun.elapsed());
        // The flags of the first user's films are no matter of the next one's.
        folder::until_delivered(folder.path()).await;
    }
    let what = format!("a new preference that matches {met} of the {name} films");
    report::row(&format!("{what}: answered"), &Spread::new(answers).text());
    report::row(
        &format!("{what}: all recommended"),
        &Spread::new(all).text(),
    );
    program.stop().await;
}
