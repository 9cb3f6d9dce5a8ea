//! What a person sees: the real program in a real browser, Chromium without a window.
//!
//! `.ci/servers browser` installs what is needed and names it by `TEST_CHROMIUM`, `TEST_CHROMEDRIVER`
//! and `TEST_AXE`, the file `axe.min.js` of axe-core. Without them these tests are skipped, loudly,
//! unless `CI_REQUIRE_SERVERS` is set, when that is an error. Screenshots go to the folder that
//! `TEST_SCREENSHOTS` names.

// `cfg(test)` is always true here; it tells clippy that the panics are meant.
#[cfg(test)]
#[expect(dead_code, reason = "a harness that other tests use more of")]
#[expect(unused_imports, reason = "likewise")]
#[path = "../system/support/mod.rs"]
mod support;

#[cfg(test)]
mod chromium;

#[cfg(test)]
mod visitor;

#[cfg(test)]
mod traces;

#[cfg(test)]
mod gallery;

#[cfg(test)]
mod live;

#[cfg(test)]
mod forms;

#[cfg(test)]
mod lists;

#[cfg(test)]
mod accounts;

#[cfg(test)]
mod pages;

#[cfg(test)]
mod keyboard;

#[cfg(test)]
mod no_scripts;

#[cfg(test)]
mod theme;

#[cfg(test)]
mod frame;

#[cfg(test)]
mod inside;

#[cfg(test)]
mod real_films;
