//! What the fake accounts service answers to each call.

use futures::{StreamExt, stream::BoxStream};
use proto::{
    accounts::{
        Account, AuditEntry, AuthenticateRequest, BeginProviderSignInRequest,
        BeginProviderSignInResponse, BeginSecondFactorRequest, BeginSecondFactorResponse,
        ConfirmEmailRequest, ConfirmEmailResponse, ConfirmSecondFactorRequest,
        ConfirmSecondFactorResponse, CreateInvitationRequest, CreatePasswordResetRequest,
        CreatePersonalTokenRequest, CreatedInvitation, CreatedPasswordReset, CreatedPersonalToken,
        CredentialsChanged, DeleteAccountRequest, DeleteAccountResponse, EndProviderSignInRequest,
        EndSessionsRequest, EndSessionsResponse, Entrance, ExportAccountRequest,
        ExportAccountResponse, GetAccountRequest, GetEntranceRequest, GetPictureRequest,
        GetProfileRequest, GetSigningKeysRequest, Identity, Invitation, ListAccountsRequest,
        ListAccountsResponse, ListAuditEntriesRequest, ListAuditEntriesResponse,
        ListInvitationsRequest, ListInvitationsResponse, ListPersonalTokensRequest,
        ListPersonalTokensResponse, ListProfilesRequest, ListProfilesResponse, ListSessionsRequest,
        ListSessionsResponse, ManageAccountRequest, PersonalToken, Picture, Profile,
        RefreshRequest, RegisterRequest, Registered, Registration, RemoveSecondFactorRequest,
        RemoveSecondFactorResponse, ReportUseRequest, ReportUseResponse,
        RequestPasswordResetRequest, RequestPasswordResetResponse, ResendConfirmationRequest,
        ResendConfirmationResponse, ResetPasswordRequest, ResetPasswordResponse,
        RevokeInvitationRequest, RevokeInvitationResponse, RevokePersonalTokenRequest,
        RevokePersonalTokenResponse, Role, SetPictureRequest, SignInRequest, SignedIn, SigningKeys,
        UpdateAccountRequest, WatchCredentialsRequest, accounts_server::Accounts,
        end_sessions_request::Which, get_profile_request::Who,
    },
    reasons,
};
use tokio_stream::wrappers::BroadcastStream;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};
use uuid::Uuid;

use super::people::{self, Calls, HeldToken, NewPerson, bad_fields, now, refused};

fn forbidden(reason: &str, message: &str) -> Status {
    refused(Code::PermissionDenied, reason, message)
}

fn unauthenticated(reason: &str, message: &str) -> Status {
    refused(Code::Unauthenticated, reason, message)
}

fn wrong_password() -> Status {
    forbidden(reasons::WRONG_PASSWORD, "the password is another one")
}

fn of_owner(message: &str) -> Status {
    refused(Code::FailedPrecondition, reasons::IS_OWNER, message)
}

fn wrong_code() -> Status {
    forbidden(reasons::WRONG_CODE, "the code cannot be used")
}

fn profile(account: &Account) -> Profile {
    Profile {
        user_id: account.id,
        username: account.username.clone(),
        role: account.role,
        about: account.about.clone(),
        favourite_genres: account.favourite_genres.clone(),
        created_at: account.created_at.clone(),
        picture_version: account.picture_version,
        visibility: account.visibility,
        version: account.version,
    }
}

#[tonic::async_trait]
impl Accounts for Calls {
    type WatchCredentialsStream = BoxStream<'static, Result<CredentialsChanged, Status>>;

    async fn get_entrance(
        &self,
        request: Request<GetEntranceRequest>,
    ) -> Result<Response<Entrance>, Status> {
        self.begin(request).await?;
        let held = self.held();
        Ok(Response::new(Entrance {
            needs_owner: held.people.is_empty(),
            registration: held.registration().into(),
            has_mail: held.has_mail,
            providers: held.providers.clone(),
        }))
    }

    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<Registered>, Status> {
        let request = self.begin(request).await?;
        let mut held = self.held();
        let mut bad = Vec::new();
        if request.username.chars().count() < 3 {
            bad.push(("username", "use 3 to 80 characters"));
        }
        if !request.email.contains('@') {
            bad.push(("email", "this is no e-mail address"));
        }
        if request.password.chars().count() < 8 {
            bad.push(("password", "use at least 8 characters"));
        }
        if !bad.is_empty() {
            return Err(bad_fields(&bad));
        }
        let is_local = request.client.is_some_and(|client| client.is_loopback);
        let mut role = Role::Member;
        let usable = |invitation: &&Invitation| invitation.used_by == 0;
        let invitation = held
            .invitations
            .get(&request.invitation)
            .filter(usable)
            .cloned();
        if held.people.is_empty() {
            if !is_local && request.setup_code != super::SETUP_CODE {
                return Err(forbidden(
                    reasons::WRONG_SETUP_CODE,
                    "the code of the log is another one",
                ));
            }
        } else if let Some(invitation) = &invitation {
            role = invitation.role();
        } else if !request.invitation.is_empty() {
            return Err(forbidden(
                reasons::WRONG_INVITATION,
                "the invitation cannot be used",
            ));
        } else if held.registration() != Registration::Open {
            return Err(forbidden(
                reasons::REGISTRATION_CLOSED,
                "registration is closed",
            ));
        }
        held.refuse_taken(Some(&request.username), Some(&request.email), 0)?;
        let is_first = held.people.is_empty();
        let email = request.email.clone();
        let user_id = held.add(NewPerson {
            username: request.username,
            email: request.email,
            password: request.password,
            role,
        });
        if let Some(invitation) = held.invitations.get_mut(&request.invitation) {
            invitation.used_by = user_id;
        }
        let needs_confirmation = held.has_mail && !is_first;
        if needs_confirmation {
            held.person(user_id)?.account.is_email_confirmed = false;
            held.mail_code(user_id, &email);
        }
        let account = Some(held.person(user_id)?.account.clone());
        Ok(Response::new(Registered {
            account,
            needs_confirmation,
        }))
    }

    async fn confirm_email(
        &self,
        request: Request<ConfirmEmailRequest>,
    ) -> Result<Response<ConfirmEmailResponse>, Status> {
        let request = self.begin(request).await?;
        let mut held = self.held();
        let (user_id, email) = held.codes.remove(&request.code).ok_or_else(wrong_code)?;
        let account = &mut held.person(user_id)?.account;
        account.email = email;
        account.pending_email.clear();
        account.is_email_confirmed = true;
        let account = Some(account.clone());
        Ok(Response::new(ConfirmEmailResponse { account }))
    }

    async fn sign_in(&self, request: Request<SignInRequest>) -> Result<Response<SignedIn>, Status> {
        let request = self.begin(request).await?;
        let mut held = self.held();
        let denied =
            |reason: &str, message: &str| Err(refused(Code::Unauthenticated, reason, message));
        held.clients
            .push(request.client.clone().unwrap_or_default());
        if held.refuses_tries {
            let reason = reasons::TOO_MANY_TRIES;
            let message = "too many tries; wait a few minutes";
            return Err(refused(Code::ResourceExhausted, reason, message));
        }
        let has_mail = held.has_mail;
        let user_id = match held.by_login(&request.login) {
            Some(person) if person.password == request.password => {
                if person.account.is_disabled {
                    return denied(reasons::ACCOUNT_DISABLED, "the account is barred");
                }
                if has_mail && !person.account.is_email_confirmed {
                    return denied(
                        reasons::EMAIL_UNCONFIRMED,
                        "the e-mail address has to be confirmed first",
                    );
                }
                match &person.second_factor {
                    Some(_) if request.second_factor.is_empty() => {
                        return denied(
                            reasons::SECOND_FACTOR_NEEDED,
                            "a code of the authenticator is needed",
                        );
                    }
                    Some(code) if *code != request.second_factor => {
                        return denied(reasons::WRONG_SECOND_FACTOR, "the code is not right");
                    }
                    _ => person.account.id,
                }
            }
            _ => return denied(reasons::WRONG_CREDENTIALS, "name or password is wrong"),
        };
        Ok(Response::new(
            held.begin_session(user_id, request.for_pages),
        ))
    }

    async fn refresh(
        &self,
        request: Request<RefreshRequest>,
    ) -> Result<Response<SignedIn>, Status> {
        let request = self.begin(request).await?;
        let mut held = self.held();
        let token = request.refresh_token;
        let found = held.sessions.iter().find(|(_, session)| {
            session.refresh_token == token || session.used_tokens.contains(&token)
        });
        let found =
            found.map(|(credential, session)| (credential.clone(), session.refresh_token == token));
        let Some((credential, is_good)) = found else {
            return Err(unauthenticated(
                reasons::WRONG_TOKEN,
                "the refresh token is not valid",
            ));
        };
        let Some(mut session) = held.sessions.remove(&credential) else {
            return Err(Status::internal("the session was just found"));
        };
        if !is_good {
            drop(held);
            self.tell(session.user_id);
            return Err(unauthenticated(
                reasons::TOKEN_REUSED,
                "the refresh token was used before",
            ));
        }
        let signed_in = held.begin_session(session.user_id, false);
        session.used_tokens.push(token);
        if let Some(next) = held.sessions.get_mut(&signed_in.access_token) {
            next.session = session.session;
            next.used_tokens = session.used_tokens;
        }
        let identity = held.identity(&signed_in.access_token);
        Ok(Response::new(SignedIn {
            identity,
            ..signed_in
        }))
    }

    async fn request_password_reset(
        &self,
        request: Request<RequestPasswordResetRequest>,
    ) -> Result<Response<RequestPasswordResetResponse>, Status> {
        let request = self.begin(request).await?;
        let mut held = self.held();
        if let Some(user_id) = held.id_of(&request.email) {
            let code = held.reset_code(user_id);
            held.mailed.insert(request.email, code);
        }
        Ok(Response::new(RequestPasswordResetResponse {}))
    }

    async fn reset_password(
        &self,
        request: Request<ResetPasswordRequest>,
    ) -> Result<Response<ResetPasswordResponse>, Status> {
        let request = self.begin(request).await?;
        if request.new_password.chars().count() < 8 {
            return Err(bad_fields(&[("new_password", "use at least 8 characters")]));
        }
        let mut held = self.held();
        let code = held.reset_codes.remove(&request.code);
        let user_id = code.ok_or_else(wrong_code)?;
        held.person(user_id)?.password = request.new_password;
        held.sessions
            .retain(|_, session| session.user_id != user_id);
        let account = Some(held.person(user_id)?.account.clone());
        drop(held);
        self.tell(user_id);
        Ok(Response::new(ResetPasswordResponse { account }))
    }

    async fn begin_provider_sign_in(
        &self,
        request: Request<BeginProviderSignInRequest>,
    ) -> Result<Response<BeginProviderSignInResponse>, Status> {
        let request = self.begin(request).await?;
        let mut held = self.held();
        if !held
            .providers
            .iter()
            .any(|known| known.id == request.provider)
        {
            return Err(Status::not_found("there is no such identity provider"));
        }
        let state = Uuid::new_v4().simple().to_string();
        let begun = (request.link_to, request.return_to);
        held.begun.insert(state.clone(), begun);
        let url = format!(
            "https://id.example/authorize?state={state}&redirect_uri={}",
            request.redirect_uri
        );
        Ok(Response::new(BeginProviderSignInResponse { url, state }))
    }

    async fn end_provider_sign_in(
        &self,
        request: Request<EndProviderSignInRequest>,
    ) -> Result<Response<SignedIn>, Status> {
        let request = self.begin(request).await?;
        let mut held = self.held();
        let (continuation, user_id, return_to) = if request.continuation.is_empty() {
            if request.state != request.expected_state {
                return Err(wrong_code());
            }
            let begun = held.begun.remove(&request.state);
            let (link_to, return_to) = begun.ok_or_else(wrong_code)?;
            let at_provider = request.code.parse().map_err(|_| wrong_code())?;
            let user_id = link_to.unwrap_or(at_provider);
            (Uuid::new_v4().to_string(), user_id, return_to)
        } else {
            let unfinished = held.unfinished.get(&request.continuation).cloned();
            let (user_id, return_to) = unfinished.ok_or_else(wrong_code)?;
            (request.continuation, user_id, return_to)
        };
        let reason = match &held.person(user_id)?.second_factor {
            Some(_) if request.second_factor.is_empty() => Some(reasons::SECOND_FACTOR_NEEDED),
            Some(code) if *code != request.second_factor => Some(reasons::WRONG_SECOND_FACTOR),
            _ => None,
        };
        if let Some(reason) = reason {
            let metadata = [(reasons::CONTINUATION.to_owned(), continuation.clone())];
            held.unfinished.insert(continuation, (user_id, return_to));
            let details = ErrorDetails::with_error_info(reason, reasons::DOMAIN, metadata);
            let message = "a code of the authenticator is needed";
            return Err(Status::with_error_details(
                Code::Unauthenticated,
                message,
                details,
            ));
        }
        held.unfinished.remove(&continuation);
        let signed_in = held.begin_session(user_id, true);
        Ok(Response::new(SignedIn {
            return_to,
            ..signed_in
        }))
    }

    async fn authenticate(
        &self,
        request: Request<AuthenticateRequest>,
    ) -> Result<Response<Identity>, Status> {
        let request = self.begin(request).await?;
        let mut held = self.held();
        held.authentications += 1;
        let identity = held.identity(&request.credential);
        let identity = identity
            .ok_or_else(|| unauthenticated(reasons::WRONG_TOKEN, "the credential is not valid"))?;
        Ok(Response::new(identity))
    }

    async fn watch_credentials(
        &self,
        request: Request<WatchCredentialsRequest>,
    ) -> Result<Response<Self::WatchCredentialsStream>, Status> {
        self.begin(request).await?;
        let changes = BroadcastStream::new(self.changes.subscribe());
        let all = || CredentialsChanged {
            user_ids: Vec::new(),
            all: true,
        };
        let first = futures::stream::once(async move { Ok(all()) });
        // One that was too slow has to ask for all.
        let later = changes.map(move |change| Ok(change.unwrap_or_else(|_| all())));
        Ok(Response::new(first.chain(later).boxed()))
    }

    async fn get_signing_keys(
        &self,
        request: Request<GetSigningKeysRequest>,
    ) -> Result<Response<SigningKeys>, Status> {
        self.begin(request).await?;
        Err(Status::unimplemented("the fake does not do that"))
    }

    async fn report_use(
        &self,
        request: Request<ReportUseRequest>,
    ) -> Result<Response<ReportUseResponse>, Status> {
        let request = self.begin(request).await?;
        self.held().reported_uses += request.uses.len();
        Ok(Response::new(ReportUseResponse {}))
    }

    async fn get_account(
        &self,
        request: Request<GetAccountRequest>,
    ) -> Result<Response<Account>, Status> {
        let request = self.begin(request).await?;
        let account = self.held().person(request.user_id)?.account.clone();
        Ok(Response::new(account))
    }

    async fn update_account(
        &self,
        request: Request<UpdateAccountRequest>,
    ) -> Result<Response<Account>, Status> {
        let request = self.begin(request).await?;
        let mut held = self.held();
        let (username, email) = (request.username.as_deref(), request.email.as_deref());
        held.refuse_taken(username, email, request.user_id)?;
        let has_mail = held.has_mail;
        let person = held.person(request.user_id)?;
        if request
            .expected_version
            .is_some_and(|version| version != person.account.version)
        {
            let message = "the account was edited meanwhile; read it again";
            return Err(refused(
                Code::FailedPrecondition,
                reasons::VERSION_DIFFERS,
                message,
            ));
        }
        let is_guarded = request.email.is_some() || request.new_password.is_some();
        if is_guarded && request.password != person.password {
            return Err(wrong_password());
        }
        if request
            .new_password
            .as_ref()
            .is_some_and(|password| password.chars().count() < 8)
        {
            return Err(bad_fields(&[("new_password", "use at least 8 characters")]));
        }
        let account = &mut person.account;
        account.version += 1;
        if let Some(username) = request.username {
            account.username = username;
        }
        if let Some(about) = request.about {
            account.about = about;
        }
        if let Some(genres) = request.favourite_genres {
            account.favourite_genres = genres.genres;
        }
        if let Some(visibility) = request.visibility {
            account.visibility = Some(visibility);
        }
        let ends_sessions = request.new_password.is_some();
        if let Some(password) = request.new_password {
            person.password = password;
        }
        if let Some(email) = request.email {
            match has_mail {
                true => {
                    person.account.pending_email.clone_from(&email);
                    held.mail_code(request.user_id, &email);
                }
                false => person.account.email = email,
            }
        }
        if ends_sessions {
            let user_id = request.user_id;
            held.sessions.retain(|_, session| {
                session.user_id != user_id || session.session.id == request.keep_session
            });
        }
        let account = held.person(request.user_id)?.account.clone();
        drop(held);
        self.tell(request.user_id);
        Ok(Response::new(account))
    }

    async fn resend_confirmation(
        &self,
        request: Request<ResendConfirmationRequest>,
    ) -> Result<Response<ResendConfirmationResponse>, Status> {
        let request = self.begin(request).await?;
        let mut held = self.held();
        if let Some(user_id) = held.id_of(&request.email) {
            held.mail_code(user_id, &request.email);
        }
        Ok(Response::new(ResendConfirmationResponse {}))
    }

    async fn delete_account(
        &self,
        request: Request<DeleteAccountRequest>,
    ) -> Result<Response<DeleteAccountResponse>, Status> {
        let request = self.begin(request).await?;
        let mut held = self.held();
        let person = held.person(request.user_id)?;
        if person.account.is_owner {
            return Err(of_owner("the owner's account cannot be deleted"));
        }
        if !request.password.is_empty() && request.password != person.password {
            return Err(wrong_password());
        }
        held.people.remove(&request.user_id);
        held.sessions
            .retain(|_, session| session.user_id != request.user_id);
        held.tokens
            .retain(|_, token| token.user_id != request.user_id);
        drop(held);
        self.tell(request.user_id);
        Ok(Response::new(DeleteAccountResponse {}))
    }

    async fn set_picture(
        &self,
        request: Request<SetPictureRequest>,
    ) -> Result<Response<Account>, Status> {
        let request = self.begin(request).await?;
        let mut held = self.held();
        let person = held.person(request.user_id)?;
        person.account.version += 1;
        person.account.picture_version = match request.image.is_empty() {
            true => 0,
            false => person.account.version,
        };
        person.picture = request.image;
        let account = person.account.clone();
        drop(held);
        self.tell(request.user_id);
        Ok(Response::new(account))
    }

    async fn export_account(
        &self,
        request: Request<ExportAccountRequest>,
    ) -> Result<Response<ExportAccountResponse>, Status> {
        let request = self.begin(request).await?;
        let account = self.held().person(request.user_id)?.account.clone();
        let json = serde_json::json!({
            "account": {"id": account.id, "username": account.username, "email": account.email},
            "sessions": [], "personal_tokens": [], "audit": [],
        });
        let json = json.to_string();
        Ok(Response::new(ExportAccountResponse { json }))
    }

    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let request = self.begin(request).await?;
        let held = self.held();
        let sessions = held
            .sessions
            .values()
            .filter(|session| session.user_id == request.user_id);
        let sessions = sessions.map(|session| session.session.clone()).collect();
        Ok(Response::new(ListSessionsResponse { sessions }))
    }

    async fn end_sessions(
        &self,
        request: Request<EndSessionsRequest>,
    ) -> Result<Response<EndSessionsResponse>, Status> {
        let request = self.begin(request).await?;
        let mut held = self.held();
        let before = held.sessions.len();
        held.sessions.retain(|_, session| {
            session.user_id != request.user_id
                || match &request.which {
                    Some(Which::Id(id)) => session.session.id != *id,
                    Some(Which::AllBut(kept)) => session.session.id == *kept,
                    None => false,
                }
        });
        let ended = (before - held.sessions.len()) as i32;
        drop(held);
        self.tell(request.user_id);
        Ok(Response::new(EndSessionsResponse { ended }))
    }

    async fn create_personal_token(
        &self,
        request: Request<CreatePersonalTokenRequest>,
    ) -> Result<Response<CreatedPersonalToken>, Status> {
        let request = self.begin(request).await?;
        if request.name.trim().is_empty() {
            return Err(bad_fields(&[("name", "give it a name")]));
        }
        if request.scopes.is_empty() {
            return Err(bad_fields(&[("scopes", "choose at least one")]));
        }
        let secret = format!("mqp_{}", Uuid::new_v4().simple());
        let token = PersonalToken {
            id: Uuid::new_v4().to_string(),
            name: request.name,
            scopes: request.scopes,
            created_at: now(),
            prefix: secret.chars().take(10).collect(),
            ..PersonalToken::default()
        };
        let held = HeldToken {
            user_id: request.user_id,
            token: token.clone(),
        };
        self.held().tokens.insert(secret.clone(), held);
        Ok(Response::new(CreatedPersonalToken {
            token: Some(token),
            secret,
        }))
    }

    async fn list_personal_tokens(
        &self,
        request: Request<ListPersonalTokensRequest>,
    ) -> Result<Response<ListPersonalTokensResponse>, Status> {
        let request = self.begin(request).await?;
        let held = self.held();
        let tokens = held
            .tokens
            .values()
            .filter(|token| token.user_id == request.user_id);
        let tokens = tokens.map(|token| token.token.clone()).collect();
        Ok(Response::new(ListPersonalTokensResponse { tokens }))
    }

    async fn revoke_personal_token(
        &self,
        request: Request<RevokePersonalTokenRequest>,
    ) -> Result<Response<RevokePersonalTokenResponse>, Status> {
        let request = self.begin(request).await?;
        let mut held = self.held();
        let before = held.tokens.len();
        held.tokens
            .retain(|_, token| token.user_id != request.user_id || token.token.id != request.id);
        let success = held.tokens.len() < before;
        drop(held);
        self.tell(request.user_id);
        Ok(Response::new(RevokePersonalTokenResponse { success }))
    }

    async fn begin_second_factor(
        &self,
        request: Request<BeginSecondFactorRequest>,
    ) -> Result<Response<BeginSecondFactorResponse>, Status> {
        let request = self.begin(request).await?;
        if self.held().person(request.user_id)?.password != request.password {
            return Err(wrong_password());
        }
        Ok(Response::new(BeginSecondFactorResponse {
            secret: "JBSWY3DPEHPK3PXP".to_owned(),
            url: "otpauth://totp/Marquee:person?secret=JBSWY3DPEHPK3PXP&issuer=Marquee".to_owned(),
        }))
    }

    async fn confirm_second_factor(
        &self,
        request: Request<ConfirmSecondFactorRequest>,
    ) -> Result<Response<ConfirmSecondFactorResponse>, Status> {
        let request = self.begin(request).await?;
        let mut held = self.held();
        let person = held.person(request.user_id)?;
        if request.code.len() != 6 {
            return Err(forbidden(
                reasons::WRONG_SECOND_FACTOR,
                "the code is not right",
            ));
        }
        person.second_factor = Some(request.code);
        person.account.has_second_factor = true;
        let recovery_codes = (0..10).map(|number| format!("recovery-{number}")).collect();
        Ok(Response::new(ConfirmSecondFactorResponse {
            recovery_codes,
        }))
    }

    async fn remove_second_factor(
        &self,
        request: Request<RemoveSecondFactorRequest>,
    ) -> Result<Response<RemoveSecondFactorResponse>, Status> {
        let request = self.begin(request).await?;
        let mut held = self.held();
        let person = held.person(request.user_id)?;
        if person.password != request.password {
            return Err(wrong_password());
        }
        person.second_factor = None;
        person.account.has_second_factor = false;
        Ok(Response::new(RemoveSecondFactorResponse {}))
    }

    async fn get_profile(
        &self,
        request: Request<GetProfileRequest>,
    ) -> Result<Response<Profile>, Status> {
        let request = self.begin(request).await?;
        let held = self.held();
        let mut people = held.people.values();
        let found = people.find(|person| match &request.who {
            Some(Who::UserId(id)) => person.account.id == *id,
            Some(Who::Username(name)) => {
                person.account.username.to_lowercase() == name.to_lowercase()
            }
            None => false,
        });
        let person = found.ok_or_else(|| Status::not_found("there is no such profile"))?;
        Ok(Response::new(profile(&person.account)))
    }

    async fn list_profiles(
        &self,
        request: Request<ListProfilesRequest>,
    ) -> Result<Response<ListProfilesResponse>, Status> {
        self.begin(request).await?;
        let held = self.held();
        let is_shown = |account: &&Account| account.visibility.is_some_and(|shows| shows.profile);
        let accounts = held.people.values().map(|person| &person.account);
        let profiles: Vec<_> = accounts.filter(is_shown).map(profile).collect();
        let total = profiles.len() as i32;
        Ok(Response::new(ListProfilesResponse { profiles, total }))
    }

    async fn get_picture(
        &self,
        request: Request<GetPictureRequest>,
    ) -> Result<Response<Picture>, Status> {
        let request = self.begin(request).await?;
        let mut held = self.held();
        let person = held.person(request.user_id)?;
        if person.picture.is_empty() {
            return Err(Status::not_found("there is no picture"));
        }
        Ok(Response::new(Picture {
            image: person.picture.clone(),
            version: person.account.picture_version,
        }))
    }

    async fn list_accounts(
        &self,
        request: Request<ListAccountsRequest>,
    ) -> Result<Response<ListAccountsResponse>, Status> {
        let request = self.begin(request).await?;
        let held = self.held();
        let accounts = held.people.values().map(|person| person.account.clone());
        let accounts: Vec<_> = accounts
            .filter(|account| {
                account.username.contains(&request.search)
                    || account.email.contains(&request.search)
            })
            .filter(|account| request.role == 0 || account.role == request.role)
            .collect();
        let total = accounts.len() as i32;
        let size = match request.page_size {
            0 => 20,
            size => size.max(1) as usize,
        };
        let skipped = (request.page.max(1) as usize - 1) * size;
        let accounts = accounts.into_iter().skip(skipped).take(size).collect();
        Ok(Response::new(ListAccountsResponse { accounts, total }))
    }

    async fn manage_account(
        &self,
        request: Request<ManageAccountRequest>,
    ) -> Result<Response<Account>, Status> {
        let request = self.begin(request).await?;
        let mut held = self.held();
        let account = &mut held.person(request.user_id)?.account;
        if account.is_owner {
            return Err(of_owner("the owner's role cannot be changed"));
        }
        if request.role != 0 {
            account.role = request.role;
        }
        if let Some(is_disabled) = request.is_disabled {
            account.is_disabled = is_disabled;
        }
        account.version += 1;
        let account = account.clone();
        if account.is_disabled {
            held.sessions
                .retain(|_, session| session.user_id != request.user_id);
        }
        let number = held.audit.len() as i64 + 1;
        held.audit.push(AuditEntry {
            number,
            at: now(),
            subject_id: account.id,
            subject: account.username.clone(),
            action: "account.managed".to_owned(),
            details: "{}".to_owned(),
            ..AuditEntry::default()
        });
        drop(held);
        self.tell(request.user_id);
        Ok(Response::new(account))
    }

    async fn create_password_reset(
        &self,
        request: Request<CreatePasswordResetRequest>,
    ) -> Result<Response<CreatedPasswordReset>, Status> {
        let acting = people::acting(&request);
        let request = self.begin(request).await?;
        let mut held = self.held();
        let account = held.person(request.user_id)?.account.clone();
        if account.is_owner && acting != Some(account.id.to_string()) {
            return Err(of_owner("the owner's account has one by the owner alone"));
        }
        Ok(Response::new(CreatedPasswordReset {
            code: held.reset_code(account.id),
            expires_at: "2100-01-01T00:00:00Z".to_owned(),
        }))
    }

    async fn create_invitation(
        &self,
        request: Request<CreateInvitationRequest>,
    ) -> Result<Response<CreatedInvitation>, Status> {
        let request = self.begin(request).await?;
        let code = format!("invitation-{}", Uuid::new_v4().simple());
        let invitation = Invitation {
            id: Uuid::new_v4().to_string(),
            role: request.role,
            email: request.email,
            created_at: now(),
            expires_at: "2100-01-01T00:00:00Z".to_owned(),
            ..Invitation::default()
        };
        self.held()
            .invitations
            .insert(code.clone(), invitation.clone());
        Ok(Response::new(CreatedInvitation {
            invitation: Some(invitation),
            code,
        }))
    }

    async fn list_invitations(
        &self,
        request: Request<ListInvitationsRequest>,
    ) -> Result<Response<ListInvitationsResponse>, Status> {
        self.begin(request).await?;
        let invitations: Vec<_> = self.held().invitations.values().cloned().collect();
        let total = invitations.len() as i32;
        Ok(Response::new(ListInvitationsResponse {
            invitations,
            total,
        }))
    }

    async fn revoke_invitation(
        &self,
        request: Request<RevokeInvitationRequest>,
    ) -> Result<Response<RevokeInvitationResponse>, Status> {
        let request = self.begin(request).await?;
        let mut held = self.held();
        let before = held.invitations.len();
        held.invitations
            .retain(|_, invitation| invitation.id != request.id);
        let success = held.invitations.len() < before;
        Ok(Response::new(RevokeInvitationResponse { success }))
    }

    async fn list_audit_entries(
        &self,
        request: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        let request = self.begin(request).await?;
        let held = self.held();
        let entries = held.audit.iter().rev();
        let entries = entries.filter(|entry| request.before == 0 || entry.number < request.before);
        let entries = entries.take(if request.limit == 0 {
            50
        } else {
            request.limit.max(1) as usize
        });
        let entries = entries.cloned().collect();
        Ok(Response::new(ListAuditEntriesResponse { entries }))
    }
}
