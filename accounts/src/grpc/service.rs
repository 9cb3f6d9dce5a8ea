//! The calls of the Accounts service.

use std::pin::Pin;

use futures::Stream;
use proto::accounts::{
    Account, AuthenticateRequest, BeginProviderSignInRequest, BeginProviderSignInResponse,
    BeginSecondFactorRequest, BeginSecondFactorResponse, ConfirmEmailRequest, ConfirmEmailResponse,
    ConfirmSecondFactorRequest, ConfirmSecondFactorResponse, CreateInvitationRequest,
    CreatePersonalTokenRequest, CreatedInvitation, CreatedPersonalToken, CredentialsChanged,
    DeleteAccountRequest, DeleteAccountResponse, EndProviderSignInRequest, EndSessionsRequest,
    EndSessionsResponse, Entrance, ExportAccountRequest, ExportAccountResponse, GetAccountRequest,
    GetEntranceRequest, GetPictureRequest, GetProfileRequest, GetSigningKeysRequest, Identity,
    ListAccountsRequest, ListAccountsResponse, ListAuditEntriesRequest, ListAuditEntriesResponse,
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
use tonic::{Request, Response, Status};

/// Answers the Accounts service's calls.
#[derive(Debug, Default)]
pub struct AccountsService {}

impl AccountsService {
    /// Makes the service.
    pub fn new() -> Self {
        Self::default()
    }
}

fn not_yet<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("this release does not do that"))
}

#[async_trait::async_trait]
impl Accounts for AccountsService {
    type WatchCredentialsStream =
        Pin<Box<dyn Stream<Item = Result<CredentialsChanged, Status>> + Send>>;

    async fn get_entrance(
        &self,
        _: Request<GetEntranceRequest>,
    ) -> Result<Response<Entrance>, Status> {
        not_yet()
    }

    async fn register(&self, _: Request<RegisterRequest>) -> Result<Response<Registered>, Status> {
        not_yet()
    }

    async fn confirm_email(
        &self,
        _: Request<ConfirmEmailRequest>,
    ) -> Result<Response<ConfirmEmailResponse>, Status> {
        not_yet()
    }

    async fn sign_in(&self, _: Request<SignInRequest>) -> Result<Response<SignedIn>, Status> {
        not_yet()
    }

    async fn refresh(&self, _: Request<RefreshRequest>) -> Result<Response<SignedIn>, Status> {
        not_yet()
    }

    async fn request_password_reset(
        &self,
        _: Request<RequestPasswordResetRequest>,
    ) -> Result<Response<RequestPasswordResetResponse>, Status> {
        not_yet()
    }

    async fn reset_password(
        &self,
        _: Request<ResetPasswordRequest>,
    ) -> Result<Response<ResetPasswordResponse>, Status> {
        not_yet()
    }

    async fn begin_provider_sign_in(
        &self,
        _: Request<BeginProviderSignInRequest>,
    ) -> Result<Response<BeginProviderSignInResponse>, Status> {
        not_yet()
    }

    async fn end_provider_sign_in(
        &self,
        _: Request<EndProviderSignInRequest>,
    ) -> Result<Response<SignedIn>, Status> {
        not_yet()
    }

    async fn authenticate(
        &self,
        _: Request<AuthenticateRequest>,
    ) -> Result<Response<Identity>, Status> {
        not_yet()
    }

    async fn watch_credentials(
        &self,
        _: Request<WatchCredentialsRequest>,
    ) -> Result<Response<Self::WatchCredentialsStream>, Status> {
        not_yet()
    }

    async fn get_signing_keys(
        &self,
        _: Request<GetSigningKeysRequest>,
    ) -> Result<Response<SigningKeys>, Status> {
        not_yet()
    }

    async fn report_use(
        &self,
        _: Request<ReportUseRequest>,
    ) -> Result<Response<ReportUseResponse>, Status> {
        not_yet()
    }

    async fn get_account(
        &self,
        _: Request<GetAccountRequest>,
    ) -> Result<Response<Account>, Status> {
        not_yet()
    }

    async fn update_account(
        &self,
        _: Request<UpdateAccountRequest>,
    ) -> Result<Response<Account>, Status> {
        not_yet()
    }

    async fn resend_confirmation(
        &self,
        _: Request<ResendConfirmationRequest>,
    ) -> Result<Response<ResendConfirmationResponse>, Status> {
        not_yet()
    }

    async fn delete_account(
        &self,
        _: Request<DeleteAccountRequest>,
    ) -> Result<Response<DeleteAccountResponse>, Status> {
        not_yet()
    }

    async fn set_picture(
        &self,
        _: Request<SetPictureRequest>,
    ) -> Result<Response<Account>, Status> {
        not_yet()
    }

    async fn export_account(
        &self,
        _: Request<ExportAccountRequest>,
    ) -> Result<Response<ExportAccountResponse>, Status> {
        not_yet()
    }

    async fn list_sessions(
        &self,
        _: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        not_yet()
    }

    async fn end_sessions(
        &self,
        _: Request<EndSessionsRequest>,
    ) -> Result<Response<EndSessionsResponse>, Status> {
        not_yet()
    }

    async fn create_personal_token(
        &self,
        _: Request<CreatePersonalTokenRequest>,
    ) -> Result<Response<CreatedPersonalToken>, Status> {
        not_yet()
    }

    async fn list_personal_tokens(
        &self,
        _: Request<ListPersonalTokensRequest>,
    ) -> Result<Response<ListPersonalTokensResponse>, Status> {
        not_yet()
    }

    async fn revoke_personal_token(
        &self,
        _: Request<RevokePersonalTokenRequest>,
    ) -> Result<Response<RevokePersonalTokenResponse>, Status> {
        not_yet()
    }

    async fn begin_second_factor(
        &self,
        _: Request<BeginSecondFactorRequest>,
    ) -> Result<Response<BeginSecondFactorResponse>, Status> {
        not_yet()
    }

    async fn confirm_second_factor(
        &self,
        _: Request<ConfirmSecondFactorRequest>,
    ) -> Result<Response<ConfirmSecondFactorResponse>, Status> {
        not_yet()
    }

    async fn remove_second_factor(
        &self,
        _: Request<RemoveSecondFactorRequest>,
    ) -> Result<Response<RemoveSecondFactorResponse>, Status> {
        not_yet()
    }

    async fn get_profile(
        &self,
        _: Request<GetProfileRequest>,
    ) -> Result<Response<Profile>, Status> {
        not_yet()
    }

    async fn list_profiles(
        &self,
        _: Request<ListProfilesRequest>,
    ) -> Result<Response<ListProfilesResponse>, Status> {
        not_yet()
    }

    async fn get_picture(
        &self,
        _: Request<GetPictureRequest>,
    ) -> Result<Response<Picture>, Status> {
        not_yet()
    }

    async fn list_accounts(
        &self,
        _: Request<ListAccountsRequest>,
    ) -> Result<Response<ListAccountsResponse>, Status> {
        not_yet()
    }

    async fn manage_account(
        &self,
        _: Request<ManageAccountRequest>,
    ) -> Result<Response<Account>, Status> {
        not_yet()
    }

    async fn create_invitation(
        &self,
        _: Request<CreateInvitationRequest>,
    ) -> Result<Response<CreatedInvitation>, Status> {
        not_yet()
    }

    async fn list_invitations(
        &self,
        _: Request<ListInvitationsRequest>,
    ) -> Result<Response<ListInvitationsResponse>, Status> {
        not_yet()
    }

    async fn revoke_invitation(
        &self,
        _: Request<RevokeInvitationRequest>,
    ) -> Result<Response<RevokeInvitationResponse>, Status> {
        not_yet()
    }

    async fn list_audit_entries(
        &self,
        _: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        not_yet()
    }
}
