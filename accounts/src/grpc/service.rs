//! The calls of the Accounts service: each is handed to the repository, with who acts.

use std::{pin::Pin, time::Duration};

use futures::{Stream, StreamExt};
use proto::accounts::{
    Account, AuthenticateRequest, BeginProviderSignInRequest, BeginProviderSignInResponse,
    BeginSecondFactorRequest, BeginSecondFactorResponse, ConfirmEmailRequest, ConfirmEmailResponse,
    ConfirmSecondFactorRequest, ConfirmSecondFactorResponse, CreateInvitationRequest,
    CreatePasswordResetRequest, CreatePersonalTokenRequest, CreatedInvitation,
    CreatedPasswordReset, CreatedPersonalToken, CredentialsChanged, DeleteAccountRequest,
    DeleteAccountResponse, EndProviderSignInRequest, EndSessionsRequest, EndSessionsResponse,
    Entrance, ExportAccountRequest, ExportAccountResponse, GetAccountRequest, GetEntranceRequest,
    GetPictureRequest, GetProfileRequest, GetSigningKeysRequest, Identity, ListAccountsRequest,
    ListAccountsResponse, ListAuditEntriesRequest, ListAuditEntriesResponse,
    ListInvitationsRequest, ListInvitationsResponse, ListPersonalTokensRequest,
    ListPersonalTokensResponse, ListProfilesRequest, ListProfilesResponse, ListSessionsRequest,
    ListSessionsResponse, ManageAccountRequest, Picture, Profile, RefreshRequest, RegisterRequest,
    Registered, RemoveSecondFactorRequest, RemoveSecondFactorResponse, ReportUseRequest,
    ReportUseResponse, RequestPasswordResetRequest, RequestPasswordResetResponse,
    ResendConfirmationRequest, ResendConfirmationResponse, ResetPasswordRequest,
    ResetPasswordResponse, RevokeInvitationRequest, RevokeInvitationResponse,
    RevokePersonalTokenRequest, RevokePersonalTokenResponse, SetPictureRequest, SignInRequest,
    SignedIn, SigningKeys, UpdateAccountRequest, WatchCredentialsRequest,
    accounts_server::Accounts,
};
use runtime::{Handle, Shutdown};
use tonic::{Request, Response, Status};

use crate::{
    access::Acting,
    actors::account_repository::{AccountRepository, Call, Perform},
    error::Error,
    watchers::Watchers,
};

/// How long the repository may take; longer than the password hasher's own deadline, which says more.
const DEADLINE: Duration = Duration::from_secs(40);

/// Answers the Accounts service's calls.
#[derive(Debug, Clone)]
pub struct AccountsService {
    repository: Handle<AccountRepository>,
    watchers: Watchers,
    shutdown: Shutdown,
}

impl AccountsService {
    /// Makes the service; its streams end when `shutdown` begins.
    pub fn new(
        repository: Handle<AccountRepository>,
        watchers: Watchers,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            repository,
            watchers,
            shutdown,
        }
    }

    async fn perform<C: Call>(&self, request: Request<C>) -> Result<Response<C::Answer>, Status> {
        let acting = Acting::of(&request);
        let call = request.into_inner();
        let performed = self
            .repository
            .ask(Perform { call, acting }, DEADLINE)
            .await;
        let performed = performed.map_err(Error::from).and_then(|answer| answer);
        performed.map(Response::new).map_err(Status::from)
    }
}

#[tonic::async_trait]
impl Accounts for AccountsService {
    type WatchCredentialsStream =
        Pin<Box<dyn Stream<Item = Result<CredentialsChanged, Status>> + Send>>;

    async fn get_entrance(
        &self,
        request: Request<GetEntranceRequest>,
    ) -> Result<Response<Entrance>, Status> {
        self.perform(request).await
    }

    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<Registered>, Status> {
        self.perform(request).await
    }

    async fn confirm_email(
        &self,
        request: Request<ConfirmEmailRequest>,
    ) -> Result<Response<ConfirmEmailResponse>, Status> {
        self.perform(request).await
    }

    async fn sign_in(&self, request: Request<SignInRequest>) -> Result<Response<SignedIn>, Status> {
        self.perform(request).await
    }

    async fn refresh(
        &self,
        request: Request<RefreshRequest>,
    ) -> Result<Response<SignedIn>, Status> {
        self.perform(request).await
    }

    async fn request_password_reset(
        &self,
        request: Request<RequestPasswordResetRequest>,
    ) -> Result<Response<RequestPasswordResetResponse>, Status> {
        self.perform(request).await
    }

    async fn reset_password(
        &self,
        request: Request<ResetPasswordRequest>,
    ) -> Result<Response<ResetPasswordResponse>, Status> {
        self.perform(request).await
    }

    async fn begin_provider_sign_in(
        &self,
        request: Request<BeginProviderSignInRequest>,
    ) -> Result<Response<BeginProviderSignInResponse>, Status> {
        self.perform(request).await
    }

    async fn end_provider_sign_in(
        &self,
        request: Request<EndProviderSignInRequest>,
    ) -> Result<Response<SignedIn>, Status> {
        self.perform(request).await
    }

    async fn authenticate(
        &self,
        request: Request<AuthenticateRequest>,
    ) -> Result<Response<Identity>, Status> {
        self.perform(request).await
    }

    async fn watch_credentials(
        &self,
        _: Request<WatchCredentialsRequest>,
    ) -> Result<Response<Self::WatchCredentialsStream>, Status> {
        let Some(changes) = self.watchers.watch() else {
            return Err(Error::Overloaded.into());
        };
        let shutdown = self.shutdown.clone();
        let ends = async move { shutdown.begun().await };
        Ok(Response::new(Box::pin(changes.map(Ok).take_until(ends))))
    }

    async fn get_signing_keys(
        &self,
        request: Request<GetSigningKeysRequest>,
    ) -> Result<Response<SigningKeys>, Status> {
        self.perform(request).await
    }

    async fn report_use(
        &self,
        request: Request<ReportUseRequest>,
    ) -> Result<Response<ReportUseResponse>, Status> {
        self.perform(request).await
    }

    async fn get_account(
        &self,
        request: Request<GetAccountRequest>,
    ) -> Result<Response<Account>, Status> {
        self.perform(request).await
    }

    async fn update_account(
        &self,
        request: Request<UpdateAccountRequest>,
    ) -> Result<Response<Account>, Status> {
        self.perform(request).await
    }

    async fn resend_confirmation(
        &self,
        request: Request<ResendConfirmationRequest>,
    ) -> Result<Response<ResendConfirmationResponse>, Status> {
        self.perform(request).await
    }

    async fn delete_account(
        &self,
        request: Request<DeleteAccountRequest>,
    ) -> Result<Response<DeleteAccountResponse>, Status> {
        self.perform(request).await
    }

    async fn set_picture(
        &self,
        request: Request<SetPictureRequest>,
    ) -> Result<Response<Account>, Status> {
        self.perform(request).await
    }

    async fn export_account(
        &self,
        request: Request<ExportAccountRequest>,
    ) -> Result<Response<ExportAccountResponse>, Status> {
        self.perform(request).await
    }

    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        self.perform(request).await
    }

    async fn end_sessions(
        &self,
        request: Request<EndSessionsRequest>,
    ) -> Result<Response<EndSessionsResponse>, Status> {
        self.perform(request).await
    }

    async fn create_personal_token(
        &self,
        request: Request<CreatePersonalTokenRequest>,
    ) -> Result<Response<CreatedPersonalToken>, Status> {
        self.perform(request).await
    }

    async fn list_personal_tokens(
        &self,
        request: Request<ListPersonalTokensRequest>,
    ) -> Result<Response<ListPersonalTokensResponse>, Status> {
        self.perform(request).await
    }

    async fn revoke_personal_token(
        &self,
        request: Request<RevokePersonalTokenRequest>,
    ) -> Result<Response<RevokePersonalTokenResponse>, Status> {
        self.perform(request).await
    }

    async fn begin_second_factor(
        &self,
        request: Request<BeginSecondFactorRequest>,
    ) -> Result<Response<BeginSecondFactorResponse>, Status> {
        self.perform(request).await
    }

    async fn confirm_second_factor(
        &self,
        request: Request<ConfirmSecondFactorRequest>,
    ) -> Result<Response<ConfirmSecondFactorResponse>, Status> {
        self.perform(request).await
    }

    async fn remove_second_factor(
        &self,
        request: Request<RemoveSecondFactorRequest>,
    ) -> Result<Response<RemoveSecondFactorResponse>, Status> {
        self.perform(request).await
    }

    async fn get_profile(
        &self,
        request: Request<GetProfileRequest>,
    ) -> Result<Response<Profile>, Status> {
        self.perform(request).await
    }

    async fn list_profiles(
        &self,
        request: Request<ListProfilesRequest>,
    ) -> Result<Response<ListProfilesResponse>, Status> {
        self.perform(request).await
    }

    async fn get_picture(
        &self,
        request: Request<GetPictureRequest>,
    ) -> Result<Response<Picture>, Status> {
        self.perform(request).await
    }

    async fn list_accounts(
        &self,
        request: Request<ListAccountsRequest>,
    ) -> Result<Response<ListAccountsResponse>, Status> {
        self.perform(request).await
    }

    async fn manage_account(
        &self,
        request: Request<ManageAccountRequest>,
    ) -> Result<Response<Account>, Status> {
        self.perform(request).await
    }

    async fn create_password_reset(
        &self,
        request: Request<CreatePasswordResetRequest>,
    ) -> Result<Response<CreatedPasswordReset>, Status> {
        self.perform(request).await
    }

    async fn create_invitation(
        &self,
        request: Request<CreateInvitationRequest>,
    ) -> Result<Response<CreatedInvitation>, Status> {
        self.perform(request).await
    }

    async fn list_invitations(
        &self,
        request: Request<ListInvitationsRequest>,
    ) -> Result<Response<ListInvitationsResponse>, Status> {
        self.perform(request).await
    }

    async fn revoke_invitation(
        &self,
        request: Request<RevokeInvitationRequest>,
    ) -> Result<Response<RevokeInvitationResponse>, Status> {
        self.perform(request).await
    }

    async fn list_audit_entries(
        &self,
        request: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        self.perform(request).await
    }
}
