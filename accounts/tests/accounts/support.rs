//! Replicas of the service on a test database. Their calls are made without a network.

use std::{future::Future, time::Duration};

use accounts::{
    config::{AccountsSettings, Registration},
    grpc::AccountsService,
    store,
    system::Engine,
};
use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::BigInt};
use proto::{
    UserId,
    accounts::{
        Account, Client, CreatePersonalTokenRequest, Identity, ManageAccountRequest,
        RegisterRequest, Role, Scope, SignInRequest, SignedIn, accounts_server::Accounts,
    },
};
use runtime::{Process, Supervisor};
use storage::{
    Database,
    testing::{self, TestDatabase},
};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

/// A password that is accepted.
pub(crate) const PASSWORD: &str = "quiet otters fold paper";

/// Runs `test` in an actix system of its own for every kind of database there is.
pub(crate) fn on_every_database<F: Future<Output = ()>>(
    name: &str,
    test: impl Fn(TestDatabase) -> F,
) {
    for database in testing::databases(name) {
        actix::System::new().block_on(test(database));
    }
}

/// One replica.
pub(crate) struct Replica {
    pub(crate) service: AccountsService,
    pub(crate) engine: Engine,
    pub(crate) database: Database,
    pub(crate) supervisor: Supervisor,
    pub(crate) process: Process,
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

impl Replica {
    /// A replica where everybody can register.
    pub(crate) async fn start(database: &TestDatabase) -> Self {
        Self::start_with(database, Registration::Open).await
    }

    pub(crate) async fn start_with(database: &TestDatabase, registration: Registration) -> Self {
        let settings = AccountsSettings {
            registration,
            ..AccountsSettings::default()
        };
        Self::start_as(database, settings).await
    }

    pub(crate) async fn start_as(database: &TestDatabase, settings: AccountsSettings) -> Self {
        let process = Process::new();
        let supervisor = Supervisor::new("accounts", &process);
        let group = supervisor.group("database");
        let steps = store::migrations();
        let database = Database::open(&group, "accounts", "test", database.url(), steps)
            .await
            .unwrap();
        let outside = settings.outside().unwrap();
        let engine = Engine::start(&supervisor, &database, settings, outside);
        Self {
            service: engine.service(&process),
            engine,
            database,
            supervisor,
            process,
        }
    }

    pub(crate) async fn stop(self) {
        self.process.shutdown.begin();
        self.supervisor.stop(Duration::from_secs(5)).await;
    }

    /// Makes the owner's account, on the machine itself.
    pub(crate) async fn owner(&self) -> Account {
        self.register("owner").await.unwrap()
    }

    pub(crate) async fn register(&self, username: &str) -> Result<Account, Status> {
        let registered = self.service.register(Request::new(new_person(username)));
        Ok(registered.await?.into_inner().account.unwrap())
    }

    /// A person with that role. There is an owner already.
    pub(crate) async fn person(&self, username: &str, role: Role) -> Account {
        let account = self.register(username).await.unwrap();
        let manage = ManageAccountRequest {
            user_id: account.id,
            role: role.into(),
            is_disabled: None,
        };
        let managed = self.service.manage_account(as_user(1, manage)).await;
        managed.unwrap().into_inner()
    }

    pub(crate) async fn sign_in(&self, login: &str) -> SignedIn {
        let signed_in = self.service.sign_in(Request::new(sign_in(login))).await;
        signed_in.unwrap().into_inner()
    }

    /// The tokens of a program.
    pub(crate) async fn sign_in_program(&self, login: &str) -> SignedIn {
        let request = SignInRequest {
            for_pages: false,
            ..sign_in(login)
        };
        let signed_in = self.service.sign_in(Request::new(request)).await;
        signed_in.unwrap().into_inner()
    }

    pub(crate) async fn authenticate(&self, credential: &str) -> Result<Identity, Status> {
        let request = proto::accounts::AuthenticateRequest {
            credential: credential.to_owned(),
        };
        let identity = self.service.authenticate(Request::new(request)).await;
        identity.map(tonic::Response::into_inner)
    }

    /// A personal token of that user, as a program shows it.
    pub(crate) async fn personal_token(&self, user_id: i32) -> String {
        let request = CreatePersonalTokenRequest {
            user_id,
            name: "script".to_owned(),
            scopes: vec![Scope::Read.into()],
            valid_days: 1,
        };
        let created = self
            .service
            .create_personal_token(as_user(user_id, request));
        created.await.unwrap().into_inner().secret
    }

    /// How many rows there are of a table, which is written as after FROM.
    pub(crate) async fn count(&self, table: &str) -> i64 {
        let query = format!("SELECT COUNT(*) AS count FROM {table}");
        let count = move |conn: &mut _| sql_query(query).get_result::<Counted>(conn);
        self.database.read(count).await.unwrap().count
    }

    pub(crate) async fn execute(&self, sql: &str) {
        let sql = sql.to_owned();
        let execute = move |conn: &mut _| sql_query(sql.clone()).execute(conn);
        self.database.write(execute).await.unwrap();
    }
}

/// A request on behalf of that user.
pub(crate) fn as_user<M>(user: i32, message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Some(UserId(user)));
    request
}

/// What a person sends to register, from the machine of the pages.
pub(crate) fn new_person(username: &str) -> RegisterRequest {
    RegisterRequest {
        email: format!("{username}@example.org"),
        username: username.to_owned(),
        password: PASSWORD.to_owned(),
        client: Some(Client {
            address: "127.0.0.1".to_owned(),
            agent: "test".to_owned(),
            is_loopback: true,
            known_user_id: None,
        }),
        ..RegisterRequest::default()
    }
}

/// What a person sends to sign in on the pages, each from an address of its own.
pub(crate) fn sign_in(login: &str) -> SignInRequest {
    SignInRequest {
        login: login.to_owned(),
        password: PASSWORD.to_owned(),
        client: Some(Client {
            address: std::net::Ipv4Addr::from_bits(rand::random()).to_string(),
            ..Client::default()
        }),
        for_pages: true,
        ..SignInRequest::default()
    }
}

/// The code and the reason of a refusal.
pub(crate) fn refusal<T: std::fmt::Debug>(outcome: Result<T, Status>) -> (Code, String) {
    let status = outcome.unwrap_err();
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone());
    (status.code(), reason.unwrap_or_default())
}

/// The fields that are refused.
pub(crate) fn bad_fields<T: std::fmt::Debug>(outcome: Result<T, Status>) -> Vec<String> {
    let status = outcome.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let details = status.get_error_details();
    let violations = details.bad_request().unwrap().field_violations.iter();
    violations
        .map(|violation| violation.field.clone())
        .collect()
}
