//! What each gRPC call asks of who makes it, where calls carry tokens: one row a call. A call without a row is refused, and a test holds the rows
//! against the `.proto` files.

/// What a person may do. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads films, and follows keywords.
    Reader = 1,
    /// Also says something of films.
    Member = 2,
    /// Also adds, edits and deletes films.
    Editor = 3,
    /// Also manages people.
    Admin = 4,
}

impl Role {
    /// The role of a number on the wire.
    pub fn of_number(number: i32) -> Option<Self> {
        [Self::Reader, Self::Member, Self::Editor, Self::Admin]
            .into_iter()
            .find(|role| *role as i32 == number)
    }
}

/// What a program may do on behalf of a person, as far as the person may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Read films, and what is the person's.
    Read = 1,
    /// Change what is the person's.
    Write = 2,
    /// Add, edit and delete films.
    Edit = 3,
    /// Manage people.
    Manage = 4,
}

impl Scope {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Edit, Self::Manage];

    /// The scope of a number on the wire.
    pub fn of_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| *scope as i32 == number)
    }
}

/// Some of the scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

impl Scopes {
    /// What a person may do who acts without a program.
    pub const ALL: Self = Self(0b11110);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// Whether `scope` is one of them.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & 1 << scope as u8 != 0
    }

    /// As numbers on the wire, in order.
    pub fn numbers(self) -> Vec<i32> {
        let contained = Scope::ALL.into_iter().filter(|scope| self.contains(*scope));
        contained.map(|scope| scope as i32).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let add = |Self(set), scope| Self(set | 1 << scope as u8);
        scopes.into_iter().fold(Self::NONE, add)
    }
}

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// One of our services, on its own behalf.
    Service,
    /// A person of at least this role, or a program of theirs with this scope; or one of our services.
    Person(Role, Scope),
}

impl Access {
    /// What the call of this path asks for, if there is one.
    pub fn of_call(path: &str) -> Option<Self> {
        ROWS.iter()
            .find(|(known, _)| *known == path)
            .map(|(_, access)| *access)
    }
}

const READ: Access = Access::Person(Role::Reader, Scope::Read);
const WRITE: Access = Access::Person(Role::Reader, Scope::Write);
const EDIT: Access = Access::Person(Role::Editor, Scope::Edit);
const MANAGE: Access = Access::Person(Role::Admin, Scope::Manage);
/// What a program can never do on behalf of a person unless it may do everything: change how the person signs in.
const OWN: Access = Access::Person(Role::Reader, Scope::Manage);

const ROWS: &[(&str, Access)] = &[
    ("/recommendations.Recommendations/GetRecommendations", READ),
    ("/recommendations.Recommendations/CreatePreference", WRITE),
    ("/recommendations.Recommendations/GetPreferences", READ),
    ("/recommendations.Recommendations/DeletePreference", WRITE),
    (
        "/recommendations.Recommendations/ProcessFilmUpdate",
        Access::Service,
    ),
    (
        "/recommendations.Recommendations/RemoveFilm",
        Access::Service,
    ),
    (
        "/recommendations.Recommendations/GetRecommendationStatuses",
        Access::Service,
    ),
    (
        "/recommendations.Recommendations/WatchRecommendations",
        READ,
    ),
    ("/recommendations.Recommendations/MarkFilms", READ),
    (
        "/recommendations.Recommendations/WatchUsers",
        Access::Service,
    ),
    ("/recommendations.Recommendations/MarkSeen", WRITE),
    ("/recommendations.Recommendations/FindFilms", READ),
    ("/recommendations.Catalog/CreateMovie", EDIT),
    ("/recommendations.Catalog/GetMovie", READ),
    ("/recommendations.Catalog/UpdateMovie", EDIT),
    ("/recommendations.Catalog/DeleteMovie", EDIT),
    ("/recommendations.Catalog/ListMovies", READ),
    ("/recommendations.Catalog/RestoreMovie", EDIT),
    ("/recommendations.Catalog/GetSummary", READ),
    ("/recommendations.Catalog/LoadSample", EDIT),
    ("/recommendations.Catalog/WatchMovies", Access::Service),
    (
        "/recommendations.Catalog/ListFilmChanges",
        Access::Person(Role::Editor, Scope::Read),
    ),
    ("/recommendations.Catalog/UndoFilmChange", EDIT),
    ("/recommendations.Catalog/FindMovie", READ),
    ("/recommendations.Catalog/ImportMovies", EDIT),
    ("/accounts.Accounts/GetEntrance", Access::Service),
    ("/accounts.Accounts/Register", Access::Service),
    ("/accounts.Accounts/ConfirmEmail", Access::Service),
    ("/accounts.Accounts/SignIn", Access::Service),
    ("/accounts.Accounts/Refresh", Access::Service),
    ("/accounts.Accounts/RequestPasswordReset", Access::Service),
    ("/accounts.Accounts/ResetPassword", Access::Service),
    ("/accounts.Accounts/BeginProviderSignIn", Access::Service),
    ("/accounts.Accounts/EndProviderSignIn", Access::Service),
    ("/accounts.Accounts/Authenticate", Access::Service),
    ("/accounts.Accounts/WatchCredentials", Access::Service),
    ("/accounts.Accounts/GetSigningKeys", Access::Service),
    ("/accounts.Accounts/ReportUse", Access::Service),
    ("/accounts.Accounts/GetAccount", READ),
    ("/accounts.Accounts/UpdateAccount", OWN),
    ("/accounts.Accounts/ResendConfirmation", Access::Service),
    ("/accounts.Accounts/DeleteAccount", OWN),
    ("/accounts.Accounts/SetPicture", WRITE),
    ("/accounts.Accounts/ExportAccount", OWN),
    ("/accounts.Accounts/ListSessions", OWN),
    ("/accounts.Accounts/EndSessions", OWN),
    ("/accounts.Accounts/CreatePersonalToken", OWN),
    ("/accounts.Accounts/ListPersonalTokens", OWN),
    ("/accounts.Accounts/RevokePersonalToken", OWN),
    ("/accounts.Accounts/BeginSecondFactor", OWN),
    ("/accounts.Accounts/ConfirmSecondFactor", OWN),
    ("/accounts.Accounts/RemoveSecondFactor", OWN),
    ("/accounts.Accounts/GetProfile", READ),
    ("/accounts.Accounts/ListProfiles", READ),
    ("/accounts.Accounts/GetPicture", READ),
    ("/accounts.Accounts/ListAccounts", MANAGE),
    ("/accounts.Accounts/ManageAccount", MANAGE),
    ("/accounts.Accounts/CreatePasswordReset", MANAGE),
    ("/accounts.Accounts/CreateInvitation", MANAGE),
    ("/accounts.Accounts/ListInvitations", MANAGE),
    ("/accounts.Accounts/RevokeInvitation", MANAGE),
    ("/accounts.Accounts/ListAuditEntries", MANAGE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_one_row() {
        let mut rows: Vec<&str> = ROWS.iter().map(|(path, _)| *path).collect();
        let mut calls = crate::CALLS.to_vec();
        rows.sort_unstable();
        calls.sort_unstable();
        assert_eq!(rows, calls);
    }

    #[test]
    fn what_changes_something_asks_for_more_than_reading() {
        for (path, access) in ROWS {
            let reads = crate::READING_CALLS.contains(path);
            assert!(reads || *access != READ, "{path}");
        }
    }

    #[test]
    fn roles_and_scopes_are_those_of_the_wire() {
        assert_eq!(Role::of_number(0), None);
        assert_eq!(Role::of_number(5), None);
        for role in 1..=4 {
            let here = Role::of_number(role).unwrap();
            let there = crate::accounts::Role::try_from(role).unwrap();
            assert_eq!(format!("{here:?}").to_uppercase(), there.as_str_name());
        }
        for scope in 1..=4 {
            let here = Scope::of_number(scope).unwrap();
            let there = crate::accounts::Scope::try_from(scope).unwrap();
            assert_eq!(format!("{here:?}").to_uppercase(), there.as_str_name());
        }
    }

    #[test]
    fn a_set_has_what_was_put_in() {
        let set: Scopes = [Scope::Edit, Scope::Read].into_iter().collect();
        assert_eq!(set.numbers(), [1, 3]);
        assert!(set.contains(Scope::Edit) && !set.contains(Scope::Manage));
        assert_eq!(Scope::ALL.into_iter().collect::<Scopes>(), Scopes::ALL);
        assert_eq!(Scopes::NONE.numbers(), [0; 0]);
    }
}
