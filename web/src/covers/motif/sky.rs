//! Planets, moons, stars and what shines.

use std::fmt::Write;

use super::Canvas;

/// Science fiction: a planet in its rings, an eclipse, or worlds in their orbits.
pub(super) fn space(canvas: &mut Canvas<'_>) {
    canvas.stars(18);
    let centre = (
        canvas.dice.range(64.0, 138.0),
        canvas.floor * canvas.dice.range(0.36, 0.48),
    );
    let radius = canvas.dice.range(30.0, 48.0).min(canvas.floor * 0.27);
    let tilt = canvas.dice.range(-34.0, 34.0);
    match canvas.dice.below(3) {
        0 => ringed(canvas, centre, radius, tilt),
        1 => {
            for step in (1..=4_u8).rev() {
                let shade = canvas.shade(0.75 - 0.15 * f32::from(step));
                canvas.circle(centre, radius * (1.0 + 0.3 * f32::from(step)), &shade);
            }
            crescent(canvas, centre, radius);
        }
        _ => orbits(canvas, centre, radius),
    }
}

fn ringed(canvas: &mut Canvas<'_>, (x, y): (f32, f32), radius: f32, tilt: f32) {
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

fn orbits(canvas: &mut Canvas<'_>, centre: (f32, f32), radius: f32) {
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

/// Fantasy: gates within gates under a star.
pub(super) fn portal(canvas: &mut Canvas<'_>) {
    canvas.stars(14);
    let x = canvas.dice.range(86.0, 114.0);
    let top = canvas.dice.range(56.0, 74.0);
    let widest = canvas.dice.range(64.0, 82.0);
    for step in 0..5_u8 {
        let part = f32::from(step) / 5.0;
        let (half, y) = (widest * (1.0 - part), top + 70.0 * part);
        let fill = if step == 4 {
            canvas.light.clone()
        } else {
            canvas.shade(0.3 + 0.2 * f32::from(step))
        };
        let (left, right, floor) = (x - half, x + half, canvas.floor);
        canvas.path(
            format_args!("M{left:.1} {floor:.1}V{:.1}A{half:.1} {half:.1} 0 0 1 {right:.1} {:.1}V{floor:.1}Z", y + half * 0.6, y + half * 0.6),
            &fill,
        );
    }
    let (light, reach) = (canvas.light.clone(), canvas.dice.range(13.0, 20.0));
    star(canvas, (x, 30.0), reach, &light);
}

/// A star of four points.
fn star(canvas: &mut Canvas<'_>, (x, y): (f32, f32), reach: f32, fill: &str) {
    let (up, down, left, right) = (y - reach, y + reach, x - reach, x + reach);
    canvas.path(
        format_args!("M{x:.1} {up:.1}Q{x:.1} {y:.1} {right:.1} {y:.1}Q{x:.1} {y:.1} {x:.1} {down:.1}Q{x:.1} {y:.1} {left:.1} {y:.1}Q{x:.1} {y:.1} {x:.1} {up:.1}Z"),
        fill,
    );
}

/// Romance: two discs and what they share, or a flower.
pub(super) fn romance(canvas: &mut Canvas<'_>) {
    if canvas.dice.below(3) == 0 {
        flower(canvas);
    } else {
        two_moons(canvas);
    }
}

fn flower(canvas: &mut Canvas<'_>) {
    let (x, y) = (
        canvas.dice.range(76.0, 124.0),
        canvas.floor * canvas.dice.range(0.4, 0.48),
    );
    let length = canvas.dice.range(58.0, 76.0).min(canvas.floor * 0.42);
    let count = 5 + canvas.dice.below(4);
    let (mid, light) = (canvas.mid.clone(), canvas.light.clone());
    let lit = canvas.dice.below(count);
    let turn = canvas.dice.range(0.0, 60.0);
    for petal in 0..count {
        let angle = turn + petal as f32 * 360.0 / count as f32;
        let fill = if petal == lit { &light } else { &mid };
        let _ = write!(
            canvas.svg,
            r#"<ellipse cx="{x:.1}" cy="{:.1}" rx="{:.1}" ry="{:.1}" fill="{fill}" opacity=".82" transform="rotate({angle:.0} {x:.1} {y:.1})"/>"#,
            y - length * 0.56,
            length * 0.26,
            length * 0.46
        );
    }
    canvas.circle((x, y), length * 0.13, &light);
}

fn two_moons(canvas: &mut Canvas<'_>) {
    let y = canvas.floor * canvas.dice.range(0.42, 0.5);
    let radius = canvas.dice.range(46.0, 58.0).min(canvas.floor * 0.34);
    let lean = canvas.dice.range(-16.0, 16.0);
    let apart = radius * canvas.dice.range(0.5, 0.68);
    let [one, other] = [(100.0 - apart, y - lean), (100.0 + apart, y + lean)];
    let [mid, light, ink] = [
        canvas.mid.clone(),
        canvas.light.clone(),
        canvas.palette.ink.hex(),
    ];
    if canvas.dice.below(3) == 0 {
        for step in 0..4_u8 {
            let inner = radius * (1.0 - 0.24 * f32::from(step));
            canvas.ring(one, inner, 4.0, &mid);
            canvas.ring(other, inner, 4.0, &light);
        }
        return;
    }
    canvas.circle(one, radius, &mid);
    canvas.circle(other, radius, &light);
    let _ = write!(
        canvas.svg,
        r#"<clipPath id="one"><circle cx="{:.1}" cy="{:.1}" r="{radius:.1}"/></clipPath><circle cx="{:.1}" cy="{:.1}" r="{radius:.1}" fill="{ink}" opacity=".82" clip-path="url(#one)"/>"#,
        one.0, one.1, other.0, other.1
    );
}

/// Silent films: the iris that closes on a face, between the holes of the film.
pub(super) fn iris(canvas: &mut Canvas<'_>) {
    let centre = (
        canvas.dice.range(88.0, 112.0),
        canvas.floor * canvas.dice.range(0.42, 0.5),
    );
    let widest = canvas.dice.range(62.0, 72.0).min(canvas.floor * 0.42);
    for step in 0..4_u8 {
        let shade = canvas.shade(0.25 + 0.25 * f32::from(step));
        canvas.circle(centre, widest * (1.0 - 0.17 * f32::from(step)), &shade);
    }
    let (light, size) = (canvas.light.clone(), widest * canvas.dice.range(0.26, 0.42));
    canvas.circle(centre, size, &light);
    let (hole, mut y) = (canvas.shade(0.55), 10.0);
    while y < canvas.floor {
        canvas.rect((7.0, y), (8.0, 11.0), &hole);
        canvas.rect((185.0, y), (8.0, 11.0), &hole);
        y += 22.0;
    }
}
