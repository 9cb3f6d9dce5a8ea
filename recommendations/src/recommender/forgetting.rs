//! A user is forgotten, because the account is deleted.

use proto::UserId;

use super::Recommender;
use crate::{
    error::Error,
    store::{looks, preferences, reconcile},
};

impl Recommender {
    /// Forgets what is kept of `user`: preferences one by one, as if the user stopped to follow each of them, then what is still
    /// recommended, some films at a time, then the last look. Each step is a transaction of its own; begun again after a failure, it goes on.
    ///
    /// Keywords also stand in the order of changes, which replicas follow, and leave it as all others do, with time.
    pub async fn forget_user(&self, user: UserId) -> Result<(), Error> {
        let find = move |conn: &mut _| preferences::of_user(conn, user);
        for keyword in self.database.read(find).await? {
            self.stop_following(user, &keyword).await?;
        }
        loop {
            let terms = self.terms();
            let forget = move |conn: &mut _| reconcile::forget_recommendations(conn, user, &terms);
            let outcome = self.database.write(forget).await?;
            if self.settled(outcome)? != Some(true) {
                break;
            }
        }
        let forget = move |conn: &mut _| looks::forget(conn, user);
        Ok(self.database.write(forget).await?)
    }
}
