//! No genre: the cinema itself.
//!
//! The curtain, the beam of the projector and the bulbs of the marquee say nothing about the film.

use super::Canvas;

/// A curtain that opens.
pub(super) fn curtain(canvas: &mut Canvas<'_>) {
    let [mid, light, _] = canvas.colours();
    let floor = canvas.floor;
    let middle = canvas.dice.range(90.0, 110.0);
    let open = canvas.dice.range(20.0, 44.0);
    canvas.polygon(
        &[
            (middle - 3.0, 0.0),
            (middle + 3.0, 0.0),
            (middle + open, floor),
            (middle - open, floor),
        ],
        &light,
    );
    let folds = 5_u8;
    for (edge, side) in [(0.0, -1.0_f32), (200.0, 1.0)] {
        for fold in 0..folds {
            let part = |number: u8| f32::from(number) / f32::from(folds);
            let high = |number: u8| edge + (middle - edge) * part(number);
            let low = |number: u8| edge + (middle + side * open - edge) * part(number);
            let fill = canvas.shade(if fold % 2 == 0 { 0.9 } else { 0.6 });
            let (from, to) = (fold, fold + 1);
            canvas.path(
                format_args!(
                    "M{:.1} 0H{:.1}Q{:.1} {:.1} {:.1} {floor:.1}H{:.1}Q{:.1} {:.1} {:.1} 0Z",
                    high(from),
                    high(to),
                    high(to),
                    floor * 0.6,
                    low(to),
                    low(from),
                    high(from),
                    floor * 0.6,
                    high(from)
                ),
                &fill,
            );
        }
    }
    let shadow = canvas.shade(0.4);
    for swag in 0..4_u8 {
        let x = 25.0 + 50.0 * f32::from(swag);
        canvas.ellipse((x, 4.0), (27.0, 24.0), &shadow);
        canvas.ellipse((x, 0.0), (27.0, 22.0), &mid);
    }
}

/// The beam of a projector.
pub(super) fn beam(canvas: &mut Canvas<'_>) {
    let light = canvas.light.clone();
    let side = canvas.dice.pick(&[-1.0, 1.0]);
    let lamp = (
        100.0 - side * canvas.dice.range(66.0, 82.0),
        canvas.floor * canvas.dice.range(0.6, 0.74),
    );
    let far = 100.0 + side * 104.0;
    let (high, low) = (
        canvas.dice.range(-10.0, 20.0),
        canvas.floor * canvas.dice.range(0.48, 0.6),
    );
    for (part, inset) in [(0.35, 0.0), (0.6, 0.14), (0.9, 0.3)] {
        let fill = canvas.shade(part);
        let reach = low - high;
        canvas.polygon(
            &[
                lamp,
                (far, high + reach * inset),
                (far, low - reach * inset),
            ],
            &fill,
        );
    }
    for _ in 0..16 {
        let along = canvas.dice.range(0.25, 1.0);
        let across = canvas.dice.range(0.1, 0.9);
        let at = (
            lamp.0 + (far - lamp.0) * along,
            lamp.1 + (high + (low - high) * across - lamp.1) * along,
        );
        let size = canvas.dice.range(0.8, 2.4);
        canvas.circle(at, size, &light);
    }
    canvas.circle(lamp, 9.0, &light);
}

/// The bulbs around a marquee.
pub(super) fn bulbs(canvas: &mut Canvas<'_>) {
    let [mid, light, _] = canvas.colours();
    let (top, bottom) = (22.0, canvas.floor - 30.0);
    let (left, right) = (24.0, 176.0);
    let board = canvas.shade(0.35);
    canvas.rect((left, top), (right - left, bottom - top), &board);
    let across = 8_u8;
    let down = (((bottom - top) / 19.0) as u8).max(2);
    let phase = canvas.dice.below(3);
    let mut bulb = 0;
    let mut place = |canvas: &mut Canvas<'_>, at: (f32, f32)| {
        let fill = if (bulb + phase).is_multiple_of(3) {
            &light
        } else {
            &mid
        };
        canvas.circle(at, 5.4, fill);
        bulb += 1;
    };
    let x = |step: u8| left + (right - left) * f32::from(step) / f32::from(across);
    let y = |step: u8| top + (bottom - top) * f32::from(step) / f32::from(down);
    for step in 0..across {
        place(canvas, (x(step), top));
    }
    for step in 0..down {
        place(canvas, (right, y(step)));
    }
    for step in 0..across {
        place(canvas, (x(across - step), bottom));
    }
    for step in 0..down {
        place(canvas, (left, y(down - step)));
    }
    let lines = (((bottom - top - 26.0) / 24.0) as u8).min(4);
    for line in 0..lines {
        let width = canvas.dice.range(54.0, 116.0);
        let y = top + 24.0 + 24.0 * f32::from(line);
        let fill = canvas.shade(if line == 0 { 1.0 } else { 0.65 });
        canvas.rect((100.0 - width / 2.0, y), (width, 8.0), &fill);
    }
}
