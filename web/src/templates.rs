//! The templates, built into the program: one method for each, which takes the template's view.

use std::sync::LazyLock;

use serde::Serialize;
use tera::{Context, Kwargs, State, Tera};

use super::{
    assets, hyphens,
    views::{
        EntranceView, ErrorView, FilmFormView, FilmView, FilmsView, FollowMark, FollowingView,
        Layout, MarkView, RecommendedView,
    },
};

/// Each template with its name.
macro_rules! embedded {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../templates/", $name)))),+]
    };
}

/// The templates of all pages.
pub(super) struct Templates(Tera);

/// How much of a page is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// All of it.
    Page,
    /// The list that it shows, for a script that has the rest.
    List,
}

impl Part {
    pub(super) fn of(list_only: bool) -> Self {
        if list_only { Self::List } else { Self::Page }
    }
}

static TEMPLATES: LazyLock<Templates> = LazyLock::new(|| {
    Templates::load().expect("the templates do not change, and a test renders them all")
});

/// The templates.
pub(super) fn templates() -> &'static Templates {
    &TEMPLATES
}

/// A view of a page that is always shown whole, and the template that it fills.
pub(super) trait PageView: Serialize {
    /// The name of the template.
    const TEMPLATE: &'static str;
}

type Rendered = Result<String, tera::Error>;

impl Templates {
    fn load() -> Result<Self, tera::Error> {
        let mut tera = Tera::new();
        tera.global_context().insert("asset", &assets::urls());
        // What may be a long word where there is little room.
        tera.register_filter("soft", |text: &str, _: Kwargs, _: &State| {
            hyphens::soften(text)
        });
        tera.add_raw_templates(embedded![
            "base.html",
            "components.html",
            "films.html",
            "film.html",
            "film_form.html",
            "following.html",
            "recommendations.html",
            "entrance.html",
            "error.html",
            "mark.html",
            "badge.html",
            "note.html",
            "follow.html",
            "parts.html",
            "settings.html",
            "me.html",
            "me_sign_in.html",
            "me_second_factor.html",
            "me_recovery_codes.html",
            "me_tokens.html",
            "me_sessions.html",
            "me_delete.html",
            "profile.html",
            "admin_people.html",
            "admin_person.html",
            "admin_invitations.html",
            "admin_audit.html",
            "changes.html",
        ])?;
        Ok(Self(tera))
    }

    pub(super) fn films(&self, layout: &Layout, view: &FilmsView, part: Part) -> Rendered {
        self.render("films.html", layout, view, part)
    }

    pub(super) fn film(&self, layout: &Layout, view: &FilmView) -> Rendered {
        self.render("film.html", layout, view, Part::Page)
    }

    pub(super) fn film_form(&self, layout: &Layout, view: &FilmFormView) -> Rendered {
        self.render("film_form.html", layout, view, Part::Page)
    }

    pub(super) fn following(&self, layout: &Layout, view: &FollowingView, part: Part) -> Rendered {
        self.render("following.html", layout, view, part)
    }

    pub(super) fn recommendations(
        &self,
        layout: &Layout,
        view: &RecommendedView,
        part: Part,
    ) -> Rendered {
        self.render("recommendations.html", layout, view, part)
    }

    pub(super) fn entrance(&self, layout: &Layout, view: &EntranceView) -> Rendered {
        self.render("entrance.html", layout, view, Part::Page)
    }

    pub(super) fn page<V: PageView>(&self, layout: &Layout, view: &V) -> Rendered {
        self.render(V::TEMPLATE, layout, view, Part::Page)
    }

    pub(super) fn error(&self, layout: &Layout, view: &ErrorView) -> Rendered {
        self.render("error.html", layout, view, Part::Page)
    }

    /// The mark of a film in a list.
    pub(super) fn mark(&self, view: &MarkView) -> Rendered {
        let mut context = Context::new();
        context.insert("film", view);
        self.0.render("mark.html", &context)
    }

    /// Whether the user follows the keyword of a list.
    pub(super) fn follow(&self, view: &FollowMark) -> Rendered {
        let mut context = Context::new();
        context.insert("follow", view);
        self.0.render("follow.html", &context)
    }

    /// The number beside For you.
    pub(super) fn badge(&self, layout: &Layout) -> Rendered {
        let mut context = Context::new();
        context.insert("layout", layout);
        self.0.render("badge.html", &context)
    }

    /// What stands above a list whose marks cannot be had.
    pub(super) fn note(&self) -> Rendered {
        self.0.render("note.html", &Context::new())
    }

    fn render(
        &self,
        template: &str,
        layout: &Layout,
        view: &impl Serialize,
        part: Part,
    ) -> Rendered {
        let mut context = Context::from_serialize(view)?;
        context.insert("layout", layout);
        match part {
            Part::Page => self.0.render(template, &context),
            Part::List => self.0.render_block(template, "list", &context),
        }
    }
}

#[cfg(test)]
mod tests;
