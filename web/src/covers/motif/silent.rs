//! Silent films: what one saw of the film itself.
//!
//! The iris, the leader that counts down, the strip, and the card that words were written on.

use std::f32::consts::TAU;

use super::Canvas;

/// The iris that closes on a face, between the holes of the film.
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

/// The leader of a reel: a hand that goes round between two rings.
pub(super) fn leader(canvas: &mut Canvas<'_>) {
    let [mid, light, _] = canvas.colours();
    let (x, y) = (100.0, canvas.floor * canvas.dice.range(0.42, 0.48));
    let radius = canvas.dice.range(58.0, 70.0).min(canvas.floor * 0.38);
    let angle = canvas.dice.range(0.4, TAU - 0.4);
    let (sweep, line) = (canvas.shade(0.5), canvas.shade(0.7));
    let floor = canvas.floor;
    let end = (x + 260.0 * angle.sin(), y - 260.0 * angle.cos());
    let large = u8::from(angle > TAU / 2.0);
    canvas.path(
        format_args!(
            "M{x:.1} {y:.1}V{:.1}A260 260 0 {large} 1 {:.1} {:.1}Z",
            y - 260.0,
            end.0,
            end.1
        ),
        &sweep,
    );
    canvas.line(
        format_args!("M0 {y:.1}H200M{x:.1} 0V{floor:.1}"),
        1.5,
        &line,
    );
    canvas.ring((x, y), radius, 4.0, &mid);
    canvas.ring((x, y), radius * 0.8, 4.0, &mid);
    canvas.line(
        format_args!("M{x:.1} {y:.1}L{:.1} {:.1}", end.0, end.1),
        3.0,
        &light,
    );
    canvas.circle((x, y), radius * 0.2, &light);
}

/// A strip of film that runs across, one frame lit.
pub(super) fn strip(canvas: &mut Canvas<'_>) {
    let [_, light, ground] = canvas.colours();
    let angle = canvas.dice.range(14.0, 30.0) * canvas.dice.pick(&[-1.0, 1.0]);
    let (band, dark) = (canvas.shade(0.8), canvas.shade(0.3));
    let y = canvas.floor * 0.42;
    let offset = canvas.dice.range(-30.0, 30.0);
    canvas.open_group(format_args!("rotate({angle:.0} 100 {y:.0})"));
    canvas.rect((38.0, -140.0), (124.0, 560.0), &band);
    let mut hole = -140.0;
    while hole < 400.0 {
        canvas.rect((43.0, hole), (8.0, 10.0), &ground);
        canvas.rect((149.0, hole), (8.0, 10.0), &ground);
        hole += 19.0;
    }
    for frame in -3..=3_i8 {
        let fill = if frame == 0 { &light } else { &dark };
        let top = y - 31.0 + offset * 0.4 + 70.0 * f32::from(frame);
        canvas.rect((58.0, top), (84.0, 62.0), fill);
    }
    canvas.close_group();
}

/// The card that words were written on: rays in a frame.
pub(super) fn card(canvas: &mut Canvas<'_>) {
    let [mid, light, _] = canvas.colours();
    let bottom = canvas.floor - 26.0;
    let (x, y) = (100.0, bottom - 14.0);
    let frame = canvas.shade(0.75);
    let count = 7 + 2 * canvas.dice.below(3);
    let reach = (y - 26.0).min(130.0);
    for ray in 0..count {
        if ray % 2 == 1 {
            continue;
        }
        let at = |number: usize| {
            let angle = number as f32 / count as f32 * std::f32::consts::PI;
            let most = 68.0 / angle.cos().abs().max(0.01);
            let reach = reach.min(most);
            (x - reach * angle.cos(), y - reach * angle.sin())
        };
        canvas.polygon(&[(x, y), at(ray), at(ray + 1)], &frame);
    }
    let radius = canvas.dice.range(18.0, 28.0).min(reach * 0.5);
    canvas.path(
        format_args!(
            "M{:.1} {y:.1}a{radius:.1} {radius:.1} 0 0 1 {:.1} 0z",
            x - radius,
            radius * 2.0
        ),
        &light,
    );
    for (inset, width) in [(14.0, 3.0), (20.0, 1.2)] {
        let (right, low) = (200.0 - inset, bottom + 14.0 - inset);
        canvas.line(
            format_args!("M{inset} {inset}H{right}V{low:.1}H{inset}Z"),
            width,
            &mid,
        );
    }
}
