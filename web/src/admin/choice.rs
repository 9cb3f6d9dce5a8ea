//! A field of a form in which one of several things is chosen.

use proto::accounts::Role;
use serde::Serialize;

use crate::me::role_name;

const ROLES: [Role; 4] = [Role::Reader, Role::Member, Role::Editor, Role::Admin];

/// A field with its options.
#[derive(Debug, Serialize)]
pub(crate) struct Choice {
    name: &'static str,
    label: &'static str,
    options: Vec<ChoiceOption>,
}

#[derive(Debug, Serialize)]
struct ChoiceOption {
    value: &'static str,
    text: String,
    is_chosen: bool,
}

impl Choice {
    /// The four roles, and what none of them is called, if that can be chosen.
    pub(crate) fn of_role(label: &'static str, chosen: Role, none: Option<&str>) -> Self {
        let option = |role: Role| {
            let name = role_name(role);
            ChoiceOption {
                value: name,
                text: name.to_owned(),
                is_chosen: role == chosen,
            }
        };
        let none = none.map(|text| ChoiceOption {
            value: "",
            text: text.to_owned(),
            is_chosen: chosen == Role::Unspecified,
        });
        Self {
            name: "role",
            label,
            options: none.into_iter().chain(ROLES.map(option)).collect(),
        }
    }
}

/// The role of a name in a form; [`Role::Unspecified`] if it is none.
pub(crate) fn role_of(name: &str) -> Role {
    let role = ROLES.into_iter().find(|role| role_name(*role) == name);
    role.unwrap_or(Role::Unspecified)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_is_found_by_its_name() {
        for role in ROLES {
            assert_eq!(role_of(role_name(role)), role);
        }
        assert_eq!(role_of("owner"), Role::Unspecified);
        assert_eq!(role_of(""), Role::Unspecified);
    }
}
