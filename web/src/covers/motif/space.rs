//! Science fiction: planets, moons and what comes from there.
//!
//! The stars behind it are the same in all pictures.

use std::fmt::Write;

use super::Canvas;

/// Where a planet is, and how large.
fn place(canvas: &mut Canvas<'_>) -> ((f32, f32), f32) {
    canvas.stars(18);
    let centre = (
        canvas.dice.range(64.0, 138.0),
        canvas.floor * canvas.dice.range(0.36, 0.48),
    );
    let radius = canvas.dice.range(30.0, 48.0).min(canvas.floor * 0.27);
    (centre, radius)
}

pub(super) fn eclipse(canvas: &mut Canvas<'_>) {
    let (centre, radius) = place(canvas);
    for step in (1..=4_u8).rev() {
        let shade = canvas.shade(0.75 - 0.15 * f32::from(step));
        canvas.circle(centre, radius * (1.0 + 0.3 * f32::from(step)), &shade);
    }
    crescent(canvas, centre, radius);
}

/// Two arms of stars that wind around a bright middle.
pub(super) fn galaxy(canvas: &mut Canvas<'_>) {
    let ((x, y), _) = place(canvas);
    let tilt = canvas.dice.range(-34.0, 34.0);
    let [mid, light, _] = canvas.colours();
    canvas.open_group(format_args!("rotate({tilt:.0} {x:.1} {y:.1})"));
    let turn = canvas.dice.range(0.0, 3.0);
    for star in 0..76_u8 {
        let (arm, along) = (f32::from(star % 2), f32::from(star / 2) / 37.0);
        let angle = turn + arm * std::f32::consts::PI + along * 5.0;
        let reach = 12.0 + 84.0 * along + canvas.dice.range(-4.0, 4.0);
        let size = 3.2 - 2.2 * along + canvas.dice.range(0.0, 1.2);
        let fill = if canvas.dice.below(5) == 0 {
            &light
        } else {
            &mid
        };
        let at = (x + reach * angle.cos(), y + reach * 0.5 * angle.sin());
        canvas.circle(at, size, fill);
    }
    canvas.ellipse((x, y), (13.0, 9.0), &light);
    canvas.close_group();
}

/// The edge of a planet, and a sun that rises behind it.
pub(super) fn horizon(canvas: &mut Canvas<'_>) {
    canvas.stars(18);
    let [mid, light, ground] = canvas.colours();
    let radius = canvas.dice.range(130.0, 190.0);
    let top = canvas.floor * canvas.dice.range(0.5, 0.6);
    let centre = (canvas.dice.range(60.0, 140.0), top + radius);
    let angle = canvas.dice.range(-2.0, -1.1);
    let sun = (
        centre.0 + radius * angle.cos(),
        centre.1 + radius * angle.sin(),
    );
    for (size, part) in [(40.0, 0.2), (28.0, 0.45)] {
        let halo = canvas.shade(part);
        canvas.circle(sun, size, &halo);
    }
    canvas.circle(sun, 15.0, &light);
    canvas.circle(centre, radius, &mid);
    canvas.circle((centre.0 - 5.0, centre.1 + 9.0), radius, &ground);
    let surface = canvas.shade(0.3);
    canvas.circle((centre.0 - 5.0, centre.1 + 9.0), radius, &surface);
}

/// A saucer and what it shines on.
pub(super) fn saucer(canvas: &mut Canvas<'_>) {
    let ((x, _), _) = place(canvas);
    let tilt = canvas.dice.range(-14.0, 14.0);
    let [mid, light, _] = canvas.colours();
    let y = canvas.floor * canvas.dice.range(0.24, 0.34);
    let beam = canvas.shade(0.35);
    let reach = canvas.dice.range(36.0, 56.0);
    let floor = canvas.floor;
    canvas.open_group(format_args!("rotate({tilt:.0} {x:.1} {y:.1})"));
    canvas.polygon(
        &[
            (x - 16.0, y + 4.0),
            (x + 16.0, y + 4.0),
            (x + reach, floor + 20.0),
            (x - reach, floor + 20.0),
        ],
        &beam,
    );
    canvas.path(
        format_args!("M{:.1} {y:.1}a20 22 0 0 1 40 0z", x - 20.0),
        &light,
    );
    canvas.ellipse((x, y + 3.0), (50.0, 12.0), &mid);
    for lamp in 0..5_u8 {
        canvas.circle((x - 32.0 + 16.0 * f32::from(lamp), y + 4.0), 2.6, &light);
    }
    canvas.close_group();
}

/// A planet in its rings.
pub(super) fn ringed(canvas: &mut Canvas<'_>) {
    let ((x, y), radius) = place(canvas);
    let tilt = canvas.dice.range(-34.0, 34.0);
    let [light, shade] = [canvas.light.clone(), canvas.shade(0.55)];
    let ring = |canvas: &mut Canvas<'_>, size: f32, sweep: u8, stroke: &str, width: f32| {
        let (rx, ry) = (radius * size, radius * size * 0.3);
        let (left, right) = (x - rx, x + rx);
        // Half an ellipse: the far half goes behind the planet, the near one before it.
        let _ = write!(
            canvas.svg,
            r#"<path d="M{left:.1} {y:.1}A{rx:.1} {ry:.1} 0 0 {sweep} {right:.1} {y:.1}" fill="none" stroke="{stroke}" stroke-width="{width}" transform="rotate({tilt:.0} {x:.1} {y:.1})"/>"#
        );
    };
    let mid = canvas.mid.clone();
    for (size, width) in [(1.5, 2.0), (1.75, 5.0), (2.05, 1.5)] {
        ring(canvas, size, 1, &mid, width);
    }
    canvas.circle((x, y), radius, &light);
    let _ = write!(
        canvas.svg,
        r#"<clipPath id="planet"><circle cx="{x:.1}" cy="{y:.1}" r="{radius:.1}"/></clipPath><circle cx="{:.1}" cy="{:.1}" r="{radius:.1}" fill="{shade}" opacity=".55" clip-path="url(#planet)"/>"#,
        x + radius * 0.55,
        y + radius * 0.3
    );
    for (size, width) in [(1.5, 2.0), (1.75, 5.0), (2.05, 1.5)] {
        ring(canvas, size, 0, &mid, width);
    }
}

/// A disc of light that a dark one nearly covers.
fn crescent(canvas: &mut Canvas<'_>, (x, y): (f32, f32), radius: f32) {
    let [light, ground] = [canvas.light.clone(), canvas.ground.clone()];
    canvas.circle((x, y), radius, &light);
    let (dx, dy) = (canvas.dice.range(0.1, 0.24), canvas.dice.range(-0.2, -0.06));
    canvas.circle((x + radius * dx, y + radius * dy), radius * 0.94, &ground);
}

/// Worlds in their orbits.
pub(super) fn orbits(canvas: &mut Canvas<'_>) {
    let (centre, radius) = place(canvas);
    let [light, mid] = [canvas.light.clone(), canvas.mid.clone()];
    canvas.circle(centre, radius * 0.42, &light);
    for step in 1..=5_u8 {
        let orbit = radius * (0.42 + 0.45 * f32::from(step));
        let shade = canvas.shade(0.9 - 0.1 * f32::from(step));
        canvas.ring(centre, orbit, 1.5, &shade);
        let angle = canvas.dice.range(0.0, std::f32::consts::TAU);
        let at = (
            centre.0 + orbit * angle.cos(),
            centre.1 + orbit * angle.sin(),
        );
        let (size, fill) = (
            canvas.dice.range(3.0, 8.0),
            if step % 2 == 0 { &light } else { &mid },
        );
        canvas.circle(at, size, fill);
    }
}
