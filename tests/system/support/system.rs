//! A whole system: the programs it is made of, their addresses and their data.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

use proto::accounts::{
    Client, DeleteAccountRequest, EndSessionsRequest, RegisterRequest, SignInRequest,
    accounts_client::AccountsClient, end_sessions_request::Which,
};
use proto::recommendations::{
    CreatePreferenceRequest, MovieRecommendation, RecommendationsRequest,
    catalog_client::CatalogClient, recommendations_client::RecommendationsClient,
};
use tempfile::TempDir;
use tokio::sync::MutexGuard;
use tonic::transport::Channel;

use super::{Browser, Bus, PATIENCE, Program, Store, eventually, free_address};

/// Of the people who register.
const PASSWORD: &str = "a crew of thieves";

/// Which programs a system is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Layout {
    /// `marquee`: everything in one process.
    One,
    /// `bridge`, `recommendations` and `catalog`, sharing one data folder as they do by default.
    Three,
}

/// Where the gRPC services of a system are.
pub(crate) struct GrpcAddresses {
    pub(crate) catalog: String,
    pub(crate) recommendations: String,
}

pub(crate) struct System {
    layout: Layout,
    bus: Bus,
    databases: BTreeMap<&'static str, String>,
    programs: BTreeMap<&'static str, Program>,
    health: BTreeMap<&'static str, SocketAddr>,
    pub(crate) http: SocketAddr,
    grpc: SocketAddr,
    catalog_grpc: SocketAddr,
    accounts_grpc: SocketAddr,
    nats: SocketAddr,
    pub(crate) folder: TempDir,
    /// Where programs `web` have the pages; none if the catalog has them.
    pub(crate) webs: Vec<SocketAddr>,
    extra: Vec<(String, String)>,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl Layout {
    /// The programs, in an order in which each finds what it needs.
    pub(crate) fn programs(self) -> &'static [&'static str] {
        match self {
            Self::One => &["marquee"],
            Self::Three => &["bridge", "recommendations", "catalog"],
        }
    }

    /// Whether cargo has built them.
    pub(crate) fn is_built(self) -> bool {
        let built = self
            .programs()
            .iter()
            .all(|name| super::binary(name).is_some());
        if !built {
            super::skip(&format!(
                "{:?} are not built: run the tests of the whole workspace",
                self.programs()
            ));
        }
        built
    }
}

impl System {
    /// Starts the system and waits until each program says that it can serve.
    pub(crate) async fn start(layout: Layout, store: &Store, bus: &Bus) -> Self {
        Self::start_with(layout, store, bus, &[]).await
    }

    /// Like [`Self::start`], with further settings for each of the programs, which win.
    pub(crate) async fn start_with(
        layout: Layout,
        store: &Store,
        bus: &Bus,
        extra: &[(&str, &str)],
    ) -> Self {
        let turn = bus.turn().await;
        let mut databases = BTreeMap::new();
        for service in ["movies", "recommendations", "accounts"] {
            if let Some(url) = store.database(service).await {
                databases.insert(service, url);
            }
        }
        let http = free_address();
        let health = layout.programs().iter().map(|&name| (name, free_address()));
        let mut system = Self {
            layout,
            bus: bus.clone(),
            databases,
            programs: BTreeMap::new(),
            health: health.collect(),
            http,
            grpc: free_address(),
            catalog_grpc: free_address(),
            accounts_grpc: free_address(),
            nats: free_address(),
            folder: TempDir::new().unwrap(),
            webs: Vec::new(),
            extra: extra
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            _turn: turn,
        };
        for &name in layout.programs() {
            system.launch(name);
        }
        system.all_ready().await;
        system
    }

    /// One program over SQLite and the embedded broker: what a person gets who just starts it.
    pub(crate) async fn plain() -> Self {
        Self::start(Layout::One, &Store::Sqlite, &Bus::Embedded).await
    }

    /// The settings of one of the programs.
    pub(crate) fn settings(&self, name: &str) -> Vec<(String, String)> {
        let text = |name: &str, value: String| (name.to_owned(), value);
        let mut settings = vec![
            match name {
                "marquee" | "catalog" => text("OPS_ADDR", self.health[name].to_string()),
                _ => text("HTTP_ADDR", self.health[name].to_string()),
            },
            text(
                "DATA_DIR",
                self.folder.path().join("data").display().to_string(),
            ),
        ];
        if matches!(name, "marquee" | "catalog") {
            settings.push(text("HTTP_ADDR", self.http.to_string()));
        }
        if matches!(name, "marquee" | "recommendations") {
            settings.push(text("GRPC_ADDR", self.grpc.to_string()));
        }
        if matches!(name, "marquee" | "catalog") {
            settings.push(text("CATALOG_GRPC_ADDR", self.catalog_grpc.to_string()));
        }
        if name == "marquee" {
            settings.push(text("ACCOUNTS_GRPC_ADDR", self.accounts_grpc.to_string()));
        }
        if matches!(name, "marquee" | "bridge") {
            settings.push(text("NATS_ADDR", self.nats.to_string()));
        }
        if name == "catalog" {
            settings.push(text("RECOMMENDATIONS_HOST", self.grpc.to_string()));
        }
        match self.bus {
            Bus::Embedded if matches!(name, "catalog" | "recommendations") => {
                settings.push(text("EVENT_BUS", format!("nats://{}", self.nats)));
            }
            _ => settings.extend(self.bus.settings()),
        }
        for (service, url) in &self.databases {
            match (name, *service) {
                ("marquee", service) => {
                    settings.push((
                        format!("{}_DATABASE_URL", service.to_uppercase()),
                        url.clone(),
                    ));
                }
                ("catalog", "movies") | ("recommendations", "recommendations") => {
                    settings.push(text("DATABASE_URL", url.clone()));
                }
                _ => {}
            }
        }
        // Of two values the last one counts.
        settings.extend(self.extra.iter().cloned());
        settings
    }

    /// The name of a second `recommendations` in a system that has one.
    pub(crate) const REPLICA: &str = "replica";

    /// Starts a second `recommendations` on the same database, which answers gRPC at `grpc`.
    pub(crate) async fn add_replica(&mut self, grpc: SocketAddr) {
        let http = free_address();
        let mut settings = self.settings("recommendations");
        settings.push(("GRPC_ADDR".to_owned(), grpc.to_string()));
        settings.push(("HTTP_ADDR".to_owned(), http.to_string()));
        self.health.insert(Self::REPLICA, http);
        let program = Program::start("recommendations", self.folder.path(), &settings);
        self.programs.insert(Self::REPLICA, program);
        self.ready(Self::REPLICA).await;
    }

    /// The name of a second catalog in a system that has one.
    pub(crate) const SECOND_CATALOG: &str = "second-catalog";

    /// Starts what it takes to have two of each over one MySQL: a second `recommendations`, a second `catalog` and two `web`, which know
    /// both of the others.
    pub(crate) async fn add_twins(&mut self) {
        let second = free_address();
        self.add_replica(second).await;
        let matchers = format!("http://{},http://{second}", self.grpc);
        self.extra
            .push(("RECOMMENDATIONS_HOST".to_owned(), matchers));
        let second = free_address();
        let mut settings = self.settings("catalog");
        let (pages, ops) = (free_address(), free_address());
        let folder = self.folder.path().join("second-catalog");
        settings.extend([
            ("CATALOG_GRPC_ADDR".to_owned(), second.to_string()),
            ("HTTP_ADDR".to_owned(), pages.to_string()),
            ("OPS_ADDR".to_owned(), ops.to_string()),
            ("DATA_DIR".to_owned(), folder.display().to_string()),
        ]);
        self.add(Self::SECOND_CATALOG, "catalog", ops, &settings)
            .await;
        for name in ["web", "second-web"] {
            let (pages, ops) = (free_address(), free_address());
            let mut settings = self.extra.clone();
            let catalogs = format!("{},{second}", self.catalog_grpc);
            settings.extend([
                ("CATALOG_HOST".to_owned(), catalogs),
                ("HTTP_ADDR".to_owned(), pages.to_string()),
                ("OPS_ADDR".to_owned(), ops.to_string()),
                (
                    "SECRET_KEY".to_owned(),
                    "one key for the whole site".to_owned(),
                ),
            ]);
            self.add(name, "web", ops, &settings).await;
            self.webs.push(pages);
        }
    }

    async fn add(
        &mut self,
        name: &'static str,
        program: &str,
        health: SocketAddr,
        settings: &[(String, String)],
    ) {
        self.health.insert(name, health);
        let program = Program::start(program, self.folder.path(), settings);
        self.programs.insert(name, program);
        self.ready(name).await;
    }

    /// From the next start on, programs have these settings, too.
    pub(crate) fn set(&mut self, settings: &[(&str, &str)]) {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.extra.extend(settings.iter().map(owned));
    }

    /// Starts one of the programs, again if it ran before, without waiting for it.
    pub(crate) fn launch(&mut self, name: &'static str) {
        self.launch_with(name, &self.settings(name));
    }

    /// Like [`Self::launch`], with other settings.
    pub(crate) fn launch_with(&mut self, name: &'static str, settings: &[(String, String)]) {
        let program = Program::start(name, self.folder.path(), settings);
        self.programs.insert(name, program);
    }

    /// Waits until a program says that it can serve.
    pub(crate) async fn ready(&mut self, name: &'static str) {
        let browser = Browser::new(self.health[name]);
        let program = self.programs.get_mut(name).unwrap();
        let what = format!("`{name}` to be ready");
        let ready = eventually(&what, async || match browser.try_open("/readyz").await? {
            page if page.status.is_success() => Ok(()),
            page => Err(page.html),
        });
        tokio::select! {
            () = ready => {}
            status = program.end_within(PATIENCE * 2) => panic!("`{name}` ended instead of getting ready: {status}"),
        }
    }

    /// Waits until every program says that it can serve.
    pub(crate) async fn all_ready(&mut self) {
        for &name in self.layout.programs() {
            self.ready(name).await;
        }
    }

    /// The programs that have a part in what the system does; the broker has none where there is another.
    pub(crate) fn programs_at_work(&self) -> Vec<&'static str> {
        let programs = self.layout.programs().iter().copied();
        let at_work =
            programs.filter(|name| *name != "bridge" || matches!(self.bus, Bus::Embedded));
        at_work.collect()
    }

    pub(crate) fn program(&mut self, name: &str) -> &mut Program {
        self.programs.get_mut(name).unwrap()
    }

    /// The address for operators of the program that has the pages.
    pub(crate) fn ops_addr(&self) -> SocketAddr {
        let last = self.layout.programs().last();
        self.health[last.expect("a layout has programs")]
    }

    /// The address of a program for operators.
    pub(crate) fn health(&self, name: &str) -> Browser {
        Browser::new(self.health[name])
    }

    pub(crate) fn browser(&self) -> Browser {
        self.browser_of(0)
    }

    /// A browser that opens the pages where this visitor does: if there are several `web`, each has its share of them.
    pub(crate) fn browser_of(&self, visitor: usize) -> Browser {
        let web = self.webs.get(visitor % self.webs.len().max(1));
        Browser::new(*web.unwrap_or(&self.http))
    }

    pub(crate) fn grpc_addresses(&self) -> GrpcAddresses {
        GrpcAddresses {
            catalog: format!("http://{}", self.catalog_grpc),
            recommendations: format!("http://{}", self.grpc),
        }
    }

    pub(crate) async fn recommendations(&self) -> RecommendationsClient<Channel> {
        RecommendationsClient::connect(self.grpc_addresses().recommendations)
            .await
            .unwrap()
    }

    pub(crate) async fn catalog(&self) -> CatalogClient<Channel> {
        CatalogClient::connect(self.grpc_addresses().catalog)
            .await
            .unwrap()
    }

    /// Has the accounts service compare a password and write, both in vain: pages do not ask it to.
    pub(crate) async fn knock(&self) {
        let accounts = format!("http://{}", self.accounts_grpc);
        // It may be down at the moment.
        let Ok(mut accounts) = AccountsClient::connect(accounts).await else {
            return;
        };
        let sign_in = SignInRequest {
            login: "nobody".to_owned(),
            password: "nothing".to_owned(),
            client: Some(Client {
                address: Ipv4Addr::from_bits(rand::random()).to_string(),
                ..Client::default()
            }),
            ..SignInRequest::default()
        };
        let _ = accounts.sign_in(sign_in).await;
        let end = EndSessionsRequest {
            user_id: 1,
            which: Some(Which::AllBut(String::new())),
        };
        let _ = accounts.end_sessions(end).await;
    }

    /// Two people register, of whom the one that is not the owner deletes the account.
    pub(crate) async fn come_and_go(&self) {
        let accounts = format!("http://{}", self.accounts_grpc);
        let mut accounts = AccountsClient::connect(accounts).await.unwrap();
        let mut last = 0;
        for name in ["owner", "guest"] {
            let register = RegisterRequest {
                email: format!("{name}@films.example"),
                username: name.to_owned(),
                password: PASSWORD.to_owned(),
                client: Some(Client {
                    address: Ipv4Addr::LOCALHOST.to_string(),
                    is_loopback: true,
                    ..Client::default()
                }),
                ..RegisterRequest::default()
            };
            let registered = accounts.register(register).await.unwrap().into_inner();
            last = registered.account.unwrap().id;
        }
        let delete = DeleteAccountRequest {
            user_id: last,
            password: PASSWORD.to_owned(),
        };
        accounts.delete_account(delete).await.unwrap();
    }

    /// Lets a user follow a keyword.
    pub(crate) async fn follow(&self, user_id: i32, keyword: &str) {
        let preference = CreatePreferenceRequest {
            user_id,
            keyword: keyword.to_owned(),
        };
        self.recommendations()
            .await
            .create_preference(preference)
            .await
            .unwrap();
    }

    /// The films that are recommended to a user, or why there is no answer.
    pub(crate) async fn recommended_to(
        &self,
        user_id: i32,
    ) -> Result<Vec<MovieRecommendation>, String> {
        let request = RecommendationsRequest {
            user_id: user_id.to_string(),
            max_results: 1_000,
            ..RecommendationsRequest::default()
        };
        match self
            .recommendations()
            .await
            .get_recommendations(request)
            .await
        {
            Ok(answer) => Ok(answer.into_inner().recommendations),
            Err(status) => Err(status.to_string()),
        }
    }

    /// Leaves out a program that has ended, when the system is stopped.
    pub(crate) fn forget(&mut self, name: &str) {
        self.programs.remove(name);
    }

    /// Stops every program as an orchestrator does, each within its five seconds.
    pub(crate) async fn stop(&mut self) {
        let added = self.programs.iter_mut();
        let added = added.filter(|(name, _)| !self.layout.programs().contains(name));
        for (_, program) in added {
            program.stop().await;
        }
        for name in self.layout.programs().iter().rev() {
            self.program(name).stop().await;
        }
    }
}
