//! Looks a page over as it stands, in every size and theme: nothing may keep a visitor out, nothing
//! may stick out, and a picture of it is kept.

use std::{env, fs, path::PathBuf};

use serde_json::{Value, json};

use crate::{chromium::WIDE, support::eventually, visitor::Visitor};

const PHONE: (u32, u32) = (360, 740);
/// Nothing may stick out here either; it is a wide page that was enlarged to four times its size.
const NARROWEST: (u32, u32) = (320, 640);
/// Pages are pictured down to here.
const LONGEST: u64 = 4_000;

/// Rules of axe-core that stand for levels A and AA.
const LEVELS: [&str; 5] = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

const AUDIT: &str = "
    const [levels, done] = arguments;
    axe.run(document, { runOnly: levels, preload: false, resultTypes: ['violations'] }).then(
      (found) => done(found.violations.map(({ id, help, nodes }) =>
        `${id} (${help}): ` + nodes.map((node) => node.html + ' ' + node.failureSummary).join('; '))),
      (error) => done([String(error)]));";

/// What a page must keep to whatever it shows; on a phone one presses with a thumb.
const MEASURE: &str = "
    const [width, thumb] = arguments;
    const problems = [];
    const reach = document.scrollingElement.scrollWidth;
    if (reach > width) {
      const beyond = [...document.body.querySelectorAll('*')].filter((e) => e.getBoundingClientRect().right > width + 1);
      problems.push(`it scrolls sideways to ${reach}: ${beyond.slice(0, 3).map((e) => e.outerHTML.slice(0, 80))}`);
    }
    for (const target of document.querySelectorAll('a[href], button, input:not([type=hidden]), textarea, summary')) {
      // The words beside a box are pressed like the box.
      const pressed = target.type === 'checkbox' ? target.labels[0] : target;
      const { width, height, right } = pressed.getBoundingClientRect();
      const inSentence = getComputedStyle(target).display === 'inline';
      if (inSentence || right < 0 || height === 0 || target.matches('.skip')) continue;
      if (height < thumb || width < 24) problems.push(`too small to press, ${width}x${height}: ${target.outerHTML.slice(0, 120)}`);
    }
    if (document.querySelectorAll('h1').length !== 1) problems.push('not one h1');
    return problems;";

/// Looks the page over. `name` is what its pictures are called.
pub(crate) async fn look_over(visitor: &Visitor, name: &str) {
    visitor.ask_with(&visitor.tools.axe, json!([])).await;
    let mut problems = Vec::new();
    for (shape, size, thumb) in [("wide", WIDE, 24), ("phone", PHONE, 44)] {
        for colours in ["light", "dark"] {
            visitor.prefer(colours).await;
            visitor.resize(size).await;
            let found = visitor
                .client
                .execute_async(AUDIT, vec![json!(LEVELS)])
                .await
                .unwrap();
            let measured = visitor.ask_with(MEASURE, json!([size.0, thumb])).await;
            for problem in [found, measured]
                .iter()
                .flat_map(|list| list.as_array().unwrap())
            {
                problems.push(format!("{name}, {shape}, {colours}: {problem}"));
            }
            picture(visitor, size, &format!("{name}-{shape}-{colours}")).await;
        }
    }
    visitor.prefer("light").await;
    visitor.resize(NARROWEST).await;
    let measured = visitor.ask_with(MEASURE, json!([NARROWEST.0, 44])).await;
    for problem in measured.as_array().unwrap() {
        problems.push(format!("{name}, narrowest: {problem}"));
    }
    visitor.resize(WIDE).await;
    assert!(problems.is_empty(), "{problems:#?}");
}

/// Keeps a picture of the whole page.
pub(crate) async fn picture(visitor: &Visitor, (width, height): (u32, u32), name: &str) {
    let long = visitor
        .ask("return document.scrollingElement.scrollHeight")
        .await;
    let long = long.as_u64().unwrap().clamp(height.into(), LONGEST);
    visitor.resize((width, u32::try_from(long).unwrap())).await;
    eventually("the covers to be there", async || {
        let waiting = visitor
            .ask("return [...document.images].filter((image) => !image.complete).map((image) => image.src)")
            .await;
        (waiting == Value::Array(Vec::new())).then_some(()).ok_or(waiting.to_string())
    })
    .await;
    let png = visitor.client.screenshot().await.unwrap();
    let folder = env::var_os("TEST_SCREENSHOTS").map_or_else(
        || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screenshots"),
        PathBuf::from,
    );
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{name}.png")), png).unwrap();
    visitor.resize((width, height)).await;
}
