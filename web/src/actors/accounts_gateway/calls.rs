//! The calls of the accounts service: a message that the pages send is one of them, as it stands in the `.proto` file.

use actix::{Context, Handler, Message, ResponseFuture};
use proto::accounts::{
    Account, AuthenticateRequest, BeginProviderSignInRequest, BeginProviderSignInResponse,
    BeginSecondFactorRequest, BeginSecondFactorResponse, ConfirmEmailRequest, ConfirmEmailResponse,
    ConfirmSecondFactorRequest, ConfirmSecondFactorResponse, CreateInvitationRequest,
    CreatePasswordResetRequest, CreatePersonalTokenRequest, CreatedInvitation,
    CreatedPasswordReset, CreatedPersonalToken, DeleteAccountRequest, DeleteAccountResponse,
    EndProviderSignInRequest, EndSessionsRequest, EndSessionsResponse, Entrance,
    ExportAccountRequest, ExportAccountResponse, GetAccountRequest, GetEntranceRequest,
    GetPictureRequest, GetProfileRequest, Identity, ListAccountsRequest, ListAccountsResponse,
    ListAuditEntriesRequest, ListAuditEntriesResponse, ListInvitationsRequest,
    ListInvitationsResponse, ListPersonalTokensRequest, ListPersonalTokensResponse,
    ListProfilesRequest, ListProfilesResponse, ListSessionsRequest, ListSessionsResponse,
    ManageAccountRequest, Picture, Profile, RefreshRequest, RegisterRequest, Registered,
    RemoveSecondFactorRequest, RemoveSecondFactorResponse, RequestPasswordResetRequest,
    RequestPasswordResetResponse, ResendConfirmationRequest, ResendConfirmationResponse,
    ResetPasswordRequest, ResetPasswordResponse, RevokeInvitationRequest, RevokeInvitationResponse,
    RevokePersonalTokenRequest, RevokePersonalTokenResponse, SetPictureRequest, SignInRequest,
    SignedIn, UpdateAccountRequest, accounts_client::AccountsClient,
};
use runtime::{
    grpc::{Person, ServiceChannel},
    supervision::in_request,
};
use tonic::{Request, Response, Status};

use super::{AccountsGateway, DEADLINE};
use crate::{actors::ServiceClient, error::Error};

/// A request of the accounts service, and how it is sent.
pub trait AccountsCall: Send + 'static {
    /// What is answered.
    type Answer: Send + 'static;
    /// The name of the call.
    const NAME: &'static str;

    /// Makes the call.
    fn make(
        client: AccountsClient<ServiceChannel>,
        request: Request<Self>,
    ) -> impl Future<Output = Result<Response<Self::Answer>, Status>> + Send
    where
        Self: Sized;
}

/// Asks for one call of the accounts service.
#[derive(Debug, Clone)]
pub struct Call<T> {
    /// On whose behalf; nothing for the pages' own.
    person: Option<Person>,
    request: T,
}

impl<T: AccountsCall> Call<T> {
    /// A call on behalf of a person.
    pub fn of(person: Person, request: T) -> Self {
        Self {
            person: Some(person),
            request,
        }
    }

    /// A call that the pages make for somebody who has not signed in.
    pub fn of_service(request: T) -> Self {
        Self {
            person: None,
            request,
        }
    }
}

impl<T: AccountsCall> Message for Call<T> {
    type Result = Result<T::Answer, Error>;
}

impl<T: AccountsCall> Handler<Call<T>> for AccountsGateway {
    type Result = ResponseFuture<Result<T::Answer, Error>>;

    fn handle(&mut self, call: Call<T>, _: &mut Context<Self>) -> Self::Result {
        let (calls, client) = self.client();
        in_request(async move {
            let request = ServiceClient::request(call.request, call.person, DEADLINE);
            calls
                .call(T::NAME, DEADLINE, T::make(client, request))
                .await
        })
    }
}

macro_rules! calls {
    ($($request:ident: $name:literal $method:ident -> $answer:ident;)+) => {
        $(impl AccountsCall for $request {
            type Answer = $answer;
            const NAME: &'static str = $name;

            async fn make(
                mut client: AccountsClient<ServiceChannel>,
                request: Request<Self>,
            ) -> Result<Response<$answer>, Status> {
                client.$method(request).await
            }
        })+
    };
}

calls! {
    GetEntranceRequest: "GetEntrance" get_entrance -> Entrance;
    RegisterRequest: "Register" register -> Registered;
    ConfirmEmailRequest: "ConfirmEmail" confirm_email -> ConfirmEmailResponse;
    SignInRequest: "SignIn" sign_in -> SignedIn;
    RefreshRequest: "Refresh" refresh -> SignedIn;
    RequestPasswordResetRequest: "RequestPasswordReset" request_password_reset -> RequestPasswordResetResponse;
    ResetPasswordRequest: "ResetPassword" reset_password -> ResetPasswordResponse;
    BeginProviderSignInRequest: "BeginProviderSignIn" begin_provider_sign_in -> BeginProviderSignInResponse;
    EndProviderSignInRequest: "EndProviderSignIn" end_provider_sign_in -> SignedIn;
    AuthenticateRequest: "Authenticate" authenticate -> Identity;
    GetAccountRequest: "GetAccount" get_account -> Account;
    UpdateAccountRequest: "UpdateAccount" update_account -> Account;
    ResendConfirmationRequest: "ResendConfirmation" resend_confirmation -> ResendConfirmationResponse;
    DeleteAccountRequest: "DeleteAccount" delete_account -> DeleteAccountResponse;
    SetPictureRequest: "SetPicture" set_picture -> Account;
    ExportAccountRequest: "ExportAccount" export_account -> ExportAccountResponse;
    ListSessionsRequest: "ListSessions" list_sessions -> ListSessionsResponse;
    EndSessionsRequest: "EndSessions" end_sessions -> EndSessionsResponse;
    CreatePersonalTokenRequest: "CreatePersonalToken" create_personal_token -> CreatedPersonalToken;
    ListPersonalTokensRequest: "ListPersonalTokens" list_personal_tokens -> ListPersonalTokensResponse;
    RevokePersonalTokenRequest: "RevokePersonalToken" revoke_personal_token -> RevokePersonalTokenResponse;
    BeginSecondFactorRequest: "BeginSecondFactor" begin_second_factor -> BeginSecondFactorResponse;
    ConfirmSecondFactorRequest: "ConfirmSecondFactor" confirm_second_factor -> ConfirmSecondFactorResponse;
    RemoveSecondFactorRequest: "RemoveSecondFactor" remove_second_factor -> RemoveSecondFactorResponse;
    GetProfileRequest: "GetProfile" get_profile -> Profile;
    ListProfilesRequest: "ListProfiles" list_profiles -> ListProfilesResponse;
    GetPictureRequest: "GetPicture" get_picture -> Picture;
    ListAccountsRequest: "ListAccounts" list_accounts -> ListAccountsResponse;
    ManageAccountRequest: "ManageAccount" manage_account -> Account;
    CreatePasswordResetRequest: "CreatePasswordReset" create_password_reset -> CreatedPasswordReset;
    CreateInvitationRequest: "CreateInvitation" create_invitation -> CreatedInvitation;
    ListInvitationsRequest: "ListInvitations" list_invitations -> ListInvitationsResponse;
    RevokeInvitationRequest: "RevokeInvitation" revoke_invitation -> RevokeInvitationResponse;
    ListAuditEntriesRequest: "ListAuditEntries" list_audit_entries -> ListAuditEntriesResponse;
}
