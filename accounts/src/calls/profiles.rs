//! What people see of each other.

use proto::{
    UserId,
    accounts::{
        Account, GetPictureRequest, GetProfileRequest, ListProfilesRequest, ListProfilesResponse,
        Picture, Profile, SetPictureRequest, get_profile_request::Who,
    },
};
use storage::DbConnection;

use super::{account::whole, person};
use crate::{
    access::{Acting, For, admit},
    actors::account_repository::{Call, Shared},
    error::{Error, Stop, refusals},
    fields,
    store::{
        changes, pictures, sequence,
        users::{self, Filter, User},
    },
    wire,
};

/// Whether who acts sees all of a profile. A service on its own sees what a stranger does.
fn sees_all(conn: &mut DbConnection, acting: Acting, user: &User) -> Result<bool, Stop> {
    if acting == Acting::Service {
        return Ok(false);
    }
    match admit(conn, acting, For::PersonOrAdmins(user.id())) {
        Ok(_) => Ok(true),
        Err(Stop::Refused(Error::Forbidden)) => Ok(false),
        Err(other) => Err(other),
    }
}

/// The person, and whether who acts sees all of the profile, if it may be seen at all.
fn visible(
    conn: &mut DbConnection,
    acting: Acting,
    user: Option<User>,
) -> Result<(User, bool), Stop> {
    let user = user.ok_or(refusals::NO_PROFILE)?;
    let is_whole = sees_all(conn, acting, &user)?;
    match is_whole || user.shows_profile && !user.is_disabled {
        true => Ok((user, is_whole)),
        false => Err(refusals::NO_PROFILE.into()),
    }
}

impl Call for GetProfileRequest {
    type Answer = Profile;

    async fn perform(self, acting: Acting, shared: Shared) -> Result<Profile, Error> {
        let read = move |conn: &mut DbConnection| {
            let user = match &self.who {
                Some(Who::UserId(id)) => users::find(conn, UserId(*id))?,
                Some(Who::Username(name)) => users::by_username(conn, name)?,
                None => None,
            };
            let (user, is_whole) = visible(conn, acting, user)?;
            Ok(wire::profile(&user, is_whole))
        };
        shared.read(read).await
    }
}

impl Call for ListProfilesRequest {
    type Answer = ListProfilesResponse;

    async fn perform(self, acting: Acting, shared: Shared) -> Result<ListProfilesResponse, Error> {
        let (offset, limit) = fields::page(self.page, self.page_size, 20, 100)?;
        let own = acting.user();
        let filter = Filter {
            is_public: true,
            visible_to: own,
            ..Filter::default()
        };
        let read = move |conn: &mut DbConnection| {
            let (users, total) = users::page(conn, &filter, offset, limit)?;
            let profile = |user: &User| wire::profile(user, own == Some(user.id()));
            Ok(ListProfilesResponse {
                profiles: users.iter().map(profile).collect(),
                total: i32::try_from(total).unwrap_or(i32::MAX),
            })
        };
        shared.read(read).await
    }
}

impl Call for GetPictureRequest {
    type Answer = Picture;

    async fn perform(self, acting: Acting, shared: Shared) -> Result<Picture, Error> {
        let read = move |conn: &mut DbConnection| {
            let user = users::find(conn, UserId(self.user_id))?;
            let (user, _) = visible(conn, acting, user)?;
            let picture = pictures::find(conn, user.id())?;
            let (image, version) = picture.ok_or(Error::NotFound("there is no picture"))?;
            Ok(Picture { image, version })
        };
        shared.read(read).await
    }
}

impl Call for SetPictureRequest {
    type Answer = Account;

    async fn perform(self, acting: Acting, shared: Shared) -> Result<Account, Error> {
        let (now, id) = (sequence::now(), UserId(self.user_id));
        let may = move |conn: &mut DbConnection| admit(conn, acting, For::Person(id));
        shared.read(may).await?;
        let picture = match self.image.is_empty() {
            true => None,
            false => Some(shared.pictures.prepare(self.image).await?),
        };
        let set = move |conn: &mut DbConnection| {
            let number = sequence::take(conn, now)?;
            admit(conn, acting, For::Person(id))?;
            let mut user = person(conn, id)?;
            match &picture {
                Some(picture) => {
                    user.picture_version = number;
                    pictures::replace(conn, id, picture, number)?;
                }
                None => {
                    user.picture_version = 0;
                    pictures::remove(conn, id)?;
                }
            }
            user.version += 1;
            users::save(conn, &user)?;
            changes::record(conn, number, id, now)?;
            whole(conn, &user)
        };
        shared.write(set).await
    }
}
