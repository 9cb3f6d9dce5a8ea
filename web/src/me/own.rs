//! The person whose page it is. It is always who looks: nothing in an address or in a form decides it.

use proto::UserId;
use runtime::grpc::Person;

use crate::{
    Error, VisitorSource,
    actors::accounts_gateway::{AccountsCall, Call},
    page_error::PageError,
    request_context::RequestContext,
};

/// The person who looks, where people sign in.
pub(crate) struct Own<'a> {
    context: &'a RequestContext,
    pub(crate) person: Person,
    /// The session by which the person is known.
    pub(crate) session: String,
}

impl<'a> Own<'a> {
    /// Who makes this request.
    ///
    /// # Errors
    ///
    /// If nobody signs in here, so that there is no such page, or the visitor has not.
    pub(crate) fn of(context: &'a RequestContext) -> Result<Self, PageError> {
        if matches!(context.site.app.visitors, VisitorSource::Open(_)) {
            return Err(PageError::NoSuchPage);
        }
        let user = context.visitor.signed_in();
        let user = user.ok_or(PageError::NotSignedIn)?;
        let session = user.credential.as_ref().map(|session| session.id.clone());
        Ok(Self {
            context,
            person: user.person,
            session: session.unwrap_or_default(),
        })
    }

    pub(crate) fn id(&self) -> UserId {
        self.person.id
    }

    /// Asks the accounts service on behalf of the person.
    pub(crate) async fn ask<T: AccountsCall>(&self, request: T) -> Result<T::Answer, Error> {
        let app = &self.context.site.app;
        app.call(Call::of(self.person, request)).await
    }
}
