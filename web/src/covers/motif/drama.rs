//! Drama: quiet pictures, one part of each in another light.
//!
//! It is the family of most films, so it has more pictures and colours than the others.

use super::Canvas;

pub(super) fn ripples(canvas: &mut Canvas<'_>) {
    let light = canvas.light.clone();
    let centre = (
        canvas.dice.pick(&[-6.0, 206.0, 100.0]),
        canvas.floor - canvas.dice.range(0.0, 20.0),
    );
    let gap = canvas.dice.range(28.0, 36.0);
    let (width, lit) = (canvas.dice.range(9.0, 15.0), 1 + canvas.dice.below(5));
    for number in 1..=6_u8 {
        let fill = if usize::from(number) == lit {
            light.clone()
        } else {
            canvas.shade(1.1 - 0.13 * f32::from(number))
        };
        canvas.ring(centre, gap * f32::from(number), width, &fill);
    }
}

pub(super) fn sails(canvas: &mut Canvas<'_>) {
    let light = canvas.light.clone();
    let lit = canvas.dice.below(6);
    // Two rows above the fade.
    let rows = ((canvas.floor - 34.0) / 2.0).min(92.0);
    for number in 0..6_u8 {
        let (x, y) = (
            f32::from(number % 3) * 60.0 + 12.0,
            14.0 + f32::from(number / 3) * rows,
        );
        let fill = if usize::from(number) == lit {
            light.clone()
        } else {
            canvas.some_shade()
        };
        let (bottom, right) = (y + rows - 6.0, x + 56.0);
        canvas.path(
            format_args!("M{x:.1} {bottom:.1}V{y:.1}Q{right:.1} {y:.1} {right:.1} {bottom:.1}Z"),
            &fill,
        );
    }
}

/// A door that stands open, and the light that falls through it.
pub(super) fn doorway(canvas: &mut Canvas<'_>) {
    let [mid, light, _] = canvas.colours();
    let wall = canvas.shade(0.3);
    let foot = canvas.floor * canvas.dice.range(0.6, 0.68);
    let height = canvas.dice.range(88.0, 120.0).min(foot - 18.0);
    let width = height * canvas.dice.range(0.4, 0.5);
    let left = canvas.dice.range(46.0, 154.0 - width);
    let (right, top, floor) = (left + width, foot - height, canvas.floor);
    canvas.rect((0.0, 0.0), (200.0, foot), &wall);
    canvas.rect((left, top), (width, height), &light);
    let slant = canvas.dice.range(26.0, 60.0) * canvas.dice.pick(&[-1.0, 1.0]);
    canvas.polygon(
        &[
            (left, foot),
            (right, foot),
            (right + slant + 14.0, floor),
            (left + slant - 14.0, floor),
        ],
        &mid,
    );
    let door = width * 0.52;
    let edge = if slant > 0.0 { left } else { right };
    let open = if slant > 0.0 {
        left - door
    } else {
        right + door
    };
    canvas.polygon(
        &[
            (edge, top),
            (open, top + 12.0),
            (open, foot + 14.0),
            (edge, foot),
        ],
        &mid,
    );
}

/// A bough, one leaf of another colour.
pub(super) fn bough(canvas: &mut Canvas<'_>) {
    let [mid, light, _] = canvas.colours();
    let count = 7 + 2 * canvas.dice.below(3);
    let side = canvas.dice.pick(&[-1.0, 1.0]);
    let lit = canvas.dice.below(count);
    let bend = canvas.dice.range(20.0, 60.0);
    let (foot, top) = (canvas.floor, canvas.floor * 0.13);
    let stem = |part: f32| {
        let across = 100.0 - side * (bend - 2.4 * bend * part * part);
        (across, foot + (top - foot) * part)
    };
    let mut shape = format!("M{:.1} {:.1}", stem(0.0).0, stem(0.0).1);
    for step in 1..=12_u8 {
        let at = stem(f32::from(step) / 12.0);
        shape.push_str(&format!("L{:.1} {:.1}", at.0, at.1));
    }
    canvas.line(shape, 3.5, &mid);
    for leaf in 0..count {
        let part = 0.24 + 0.76 * leaf as f32 / (count - 1) as f32;
        let (x, y) = stem(part);
        let turn = match (leaf + 1 == count, leaf % 2) {
            (true, _) => side * 24.0,
            (_, 0) => 58.0,
            _ => -58.0,
        } + canvas.dice.range(-8.0, 8.0);
        let length = canvas.dice.range(44.0, 54.0).min(canvas.floor * 0.27) * (1.15 - 0.3 * part);
        let fill = if leaf == lit {
            light.clone()
        } else {
            canvas.some_shade()
        };
        canvas.open_group(format_args!("translate({x:.1} {y:.1}) rotate({turn:.0})"));
        let (half, tip) = (length * 0.36, -length);
        canvas.path(
            format_args!(
                "M0 0Q{half:.1} {:.1} 0 {tip:.1}Q{:.1} {:.1} 0 0Z",
                tip / 2.0,
                -half,
                tip / 2.0
            ),
            &fill,
        );
        canvas.close_group();
    }
}

/// Stairs that lead up into the light.
pub(super) fn stairs(canvas: &mut Canvas<'_>) {
    let [_, light, _] = canvas.colours();
    let count = 6 + canvas.dice.below(3);
    let climbs_right = canvas.dice.below(2) == 0;
    let width = 200.0 / count as f32;
    let rise = canvas.floor * canvas.dice.range(0.52, 0.66) / count as f32;
    for step in 0..count {
        let height = rise * (step + 1) as f32;
        let column = if climbs_right { step } else { count - 1 - step };
        let fill = canvas.shade(0.3 + 0.7 * step as f32 / count as f32);
        canvas.rect(
            (column as f32 * width, canvas.floor - height),
            (width + 0.3, height),
            &fill,
        );
    }
    let radius = canvas.dice.range(15.0, 22.0);
    let high = (canvas.floor - rise * count as f32) * 0.5;
    let x = if climbs_right { 150.0 } else { 50.0 } + canvas.dice.range(-16.0, 16.0);
    canvas.circle((x, high.max(radius + 6.0)), radius, &light);
}
