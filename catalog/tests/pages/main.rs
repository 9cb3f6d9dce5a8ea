//! The pages as a browser sees them: a whole catalog over SQLite, with recommendations that a test
//! has in its hand.

mod films;
mod film_forms;
mod following;
mod recommended;
mod live;
mod bad_requests;
mod safety;
mod site;
mod browser;
mod fake_recommendations;
