//! Horror: what waits in the dark.
//!
//! One thing is lit in each picture, and it looks back or points at you.

use super::Canvas;

pub(super) fn claws(canvas: &mut Canvas<'_>) {
    let [mid, light, _] = canvas.colours();
    let lean = canvas.dice.range(20.0, 46.0);
    for number in 0..4_u8 {
        let x = 40.0 + f32::from(number) * 36.0 + canvas.dice.range(-5.0, 5.0);
        let (top, bottom) = (
            canvas.dice.range(8.0, 30.0),
            canvas.floor - canvas.dice.range(8.0, 40.0),
        );
        let fill = if number == 2 { &light } else { &mid };
        canvas.path(
            format_args!(
                "M{:.1} {top:.1}Q{:.1} {:.1} {:.1} {bottom:.1}Q{:.1} {:.1} {:.1} {top:.1}Z",
                x + lean,
                x + 6.0,
                (top + bottom) / 2.0,
                x - lean * 0.4,
                x - 8.0,
                (top + bottom) / 2.0,
                x + lean
            ),
            fill,
        );
    }
}

/// Teeth over something that looks back.
pub(super) fn teeth(canvas: &mut Canvas<'_>) {
    let [mid, light, ground] = canvas.colours();
    let count = 7 + canvas.dice.below(4);
    let mut edge = vec![(0.0, 0.0)];
    for number in 0..=count {
        let reach = if number % 2 == 1 {
            canvas.dice.range(64.0, 118.0)
        } else {
            canvas.dice.range(18.0, 44.0)
        };
        edge.push((
            number as f32 * 200.0 / count as f32,
            reach.min(canvas.floor * 0.62),
        ));
    }
    edge.push((200.0, 0.0));
    canvas.polygon(&edge, &mid);
    let at = (canvas.dice.range(56.0, 144.0), canvas.floor - 34.0);
    let size = canvas.dice.range(11.0, 18.0);
    canvas.circle(at, size, &light);
    canvas.ellipse(at, (size * 0.2, size * 0.78), &ground);
}

/// A bare tree before the moon.
pub(super) fn tree(canvas: &mut Canvas<'_>) {
    let [mid, light, _] = canvas.colours();
    let x = canvas.dice.range(80.0, 120.0);
    let radius = canvas.dice.range(40.0, 54.0).min(canvas.floor * 0.32);
    let moon = (
        x + canvas.dice.range(-26.0, 26.0),
        canvas.floor * canvas.dice.range(0.36, 0.44),
    );
    canvas.circle(moon, radius, &light);
    let trunk = canvas.floor * canvas.dice.range(0.3, 0.36);
    let mut tips = vec![(x, canvas.floor, canvas.dice.range(-0.12, 0.12))];
    for depth in 0..5_u8 {
        let thickness = 11.0 * 0.6_f32.powi(i32::from(depth));
        let length = trunk * 0.72_f32.powi(i32::from(depth));
        let mut shape = String::new();
        let mut next = Vec::new();
        for (from_x, from_y, angle) in tips {
            let length = length * canvas.dice.range(0.8, 1.1);
            let to = (from_x + length * angle.sin(), from_y - length * angle.cos());
            shape.push_str(&format!("M{from_x:.1} {from_y:.1}L{:.1} {:.1}", to.0, to.1));
            next.push((to.0, to.1, angle - canvas.dice.range(0.3, 0.75)));
            next.push((to.0, to.1, angle + canvas.dice.range(0.3, 0.75)));
        }
        canvas.round_line(shape, thickness, &mid);
        tips = next;
    }
}

/// Pairs of eyes, one of them awake.
pub(super) fn eyes(canvas: &mut Canvas<'_>) {
    let [mid, light, ground] = canvas.colours();
    let rows = (((canvas.floor - 30.0) / 44.0) as usize).clamp(1, 4);
    let lit = canvas.dice.below(rows * 2);
    for number in 0..rows * 2 {
        let (column, row) = ((number % 2) as f32, (number / 2) as f32);
        let x = 54.0 + 92.0 * column + canvas.dice.range(-18.0, 18.0);
        let y = 34.0 + 44.0 * row + canvas.dice.range(-11.0, 11.0);
        let size = canvas.dice.range(8.0, 14.0);
        let fill = if number == lit { &light } else { &mid };
        for side in [-1.3, 1.3] {
            let (at, up, down) = (x + side * size, y - size * 1.1, y + size * 1.1);
            let (inner, outer) = (at - size, at + size);
            canvas.path(
                format_args!("M{inner:.1} {y:.1}Q{at:.1} {up:.1} {outer:.1} {y:.1}Q{at:.1} {down:.1} {inner:.1} {y:.1}Z"),
                fill,
            );
            canvas.ellipse((at, y), (size * 0.16, size * 0.48), &ground);
        }
    }
}

/// Something runs down from above; one drop has come loose.
pub(super) fn drips(canvas: &mut Canvas<'_>) {
    let [mid, light, _] = canvas.colours();
    let count = 7 + canvas.dice.below(4);
    let width = 200.0 / count as f32;
    let loose = 1 + canvas.dice.below(count - 2);
    canvas.rect((0.0, 0.0), (200.0, 26.0), &mid);
    for number in 0..count {
        let long = canvas.floor * canvas.dice.range(0.16, 0.6);
        let length = if number == loose { 40.0 } else { long };
        let x = (number as f32 + 0.5) * width;
        let thickness = width * canvas.dice.range(0.6, 0.95);
        canvas.round_line(format_args!("M{x:.1} 0V{length:.1}"), thickness, &mid);
    }
    let x = (loose as f32 + 0.5) * width;
    let (y, size) = (
        canvas.floor * canvas.dice.range(0.62, 0.74),
        canvas.dice.range(8.0, 12.0),
    );
    let tip = y - size * 2.2;
    canvas.path(
        format_args!("M{x:.1} {tip:.1}Q{:.1} {y:.1} {:.1} {y:.1}A{size:.1} {size:.1} 0 0 1 {:.1} {y:.1}Q{:.1} {y:.1} {x:.1} {tip:.1}Z", x + size, x + size, x - size, x - size),
        &light,
    );
}
