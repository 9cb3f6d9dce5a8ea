//! Comedies: a party, or a face.
//!
//! Confetti is cut large and stands in rows, so that it is a pattern and not a mess.

use super::Canvas;

/// Confetti, cut large.
pub(super) fn confetti(canvas: &mut Canvas<'_>) {
    let colours = [
        canvas.mid.clone(),
        canvas.light.clone(),
        canvas.palette.ink.hex(),
    ];
    // Whole rows above the fade.
    let room = canvas.floor - 18.0;
    let rows = ((room / 58.0) as usize).clamp(1, 4);
    let top = (room - rows as f32 * 58.0) / 2.0 + 6.0;
    for number in 0..rows * 3 {
        let (x, y) = (
            16.0 + (number % 3) as f32 * 59.0,
            top + (number / 3) as f32 * 58.0,
        );
        let fill = canvas.dice.pick(&[0_usize, 0, 1, 1, 2]);
        let fill = colours.get(fill).cloned().unwrap_or_default();
        match canvas.dice.below(6) {
            0 => canvas.circle((x + 25.0, y + 25.0), 25.0, &fill),
            1 => canvas.path(format_args!("M{x:.1} {y:.1}h50a50 50 0 0 1 -50 50z"), &fill),
            2 => canvas.path(
                format_args!("M{x:.1} {:.1}a25 25 0 0 1 50 0z", y + 38.0),
                &fill,
            ),
            3 => canvas.polygon(
                &[
                    (x + 25.0, y),
                    (x + 50.0, y + 25.0),
                    (x + 25.0, y + 50.0),
                    (x, y + 25.0),
                ],
                &fill,
            ),
            4 => canvas.ring((x + 25.0, y + 25.0), 19.0, 11.0, &fill),
            _ => canvas.path(
                format_args!("M{:.1} {:.1}v-50a50 50 0 0 0 -50 50z", x + 50.0, y + 50.0),
                &fill,
            ),
        }
    }
}

/// A face that laughs, winks or looks away.
pub(super) fn face(canvas: &mut Canvas<'_>) {
    let [mid, light, ground] = canvas.colours();
    let [skin, tongue] = canvas.dice.pick(&[[0_usize, 1], [1, 0]]).map(|which| {
        if which == 0 {
            mid.clone()
        } else {
            light.clone()
        }
    });
    let (x, y) = (
        canvas.dice.range(84.0, 116.0),
        canvas.floor * canvas.dice.range(0.44, 0.48),
    );
    let radius = canvas.dice.range(64.0, 82.0).min(canvas.floor * 0.4);
    let tilt = canvas.dice.range(-16.0, 16.0);
    canvas.open_group(format_args!("rotate({tilt:.0} {x:.1} {y:.1})"));
    canvas.circle((x, y), radius, &skin);
    let (apart, eye) = (radius * 0.36, y - radius * 0.24);
    let glance = canvas.dice.range(-0.05, 0.05) * radius;
    let winks = canvas.dice.below(3) == 0;
    for side in [-1.0, 1.0] {
        let at = x + side * apart + glance;
        if winks && side > 0.0 {
            canvas.round_line(
                format_args!("M{:.1} {eye:.1}h{:.1}", at - radius * 0.14, radius * 0.28),
                radius * 0.09,
                &ground,
            );
        } else {
            canvas.ellipse((at, eye), (radius * 0.11, radius * 0.17), &ground);
        }
    }
    let (half, mouth) = (radius * canvas.dice.range(0.46, 0.6), y + radius * 0.14);
    let left = x - half;
    if canvas.dice.below(3) == 0 {
        canvas.round_line(
            format_args!(
                "M{left:.1} {mouth:.1}a{half:.1} {half:.1} 0 0 0 {:.1} 0",
                half * 2.0
            ),
            radius * 0.1,
            &ground,
        );
    } else {
        canvas.path(
            format_args!(
                "M{left:.1} {mouth:.1}a{half:.1} {half:.1} 0 0 0 {:.1} 0z",
                half * 2.0
            ),
            &ground,
        );
        canvas.ellipse((x, mouth + half * 0.7), (half * 0.42, half * 0.22), &tongue);
    }
    canvas.close_group();
}

/// Strings of flags.
pub(super) fn bunting(canvas: &mut Canvas<'_>) {
    let [mid, light, _] = canvas.colours();
    let ink = canvas.palette.ink.hex();
    let rows = (((canvas.floor - 20.0) / 62.0) as usize).clamp(1, 3);
    for row in 0..rows {
        let y = 14.0 + row as f32 * 62.0;
        let sag = canvas.dice.range(14.0, 30.0);
        let lean = canvas.dice.range(-10.0, 10.0);
        let height = |x: f32| {
            let part = x / 200.0;
            y + lean * (part - 0.5) + 4.0 * sag * part * (1.0 - part)
        };
        let first = canvas.dice.below(3);
        for flag in 0..7_usize {
            let (from, to) = (flag as f32 * 30.0 - 4.0, flag as f32 * 30.0 + 20.0);
            let middle = (from + to) / 2.0;
            let fill = match (flag + first) % 3 {
                0 => &mid,
                1 => &light,
                _ => &ink,
            };
            canvas.polygon(
                &[
                    (from, height(from)),
                    (to, height(to)),
                    (middle, height(middle) + 30.0),
                ],
                fill,
            );
        }
        canvas.line(
            format_args!(
                "M-4 {:.1}Q100 {:.1} 204 {:.1}",
                height(-4.0),
                height(100.0) + sag,
                height(204.0)
            ),
            2.0,
            &ink,
        );
    }
}

/// Balloons that have come loose together.
pub(super) fn balloons(canvas: &mut Canvas<'_>) {
    let [mid, light, _] = canvas.colours();
    let ink = canvas.palette.ink.hex();
    let knot = (canvas.dice.range(80.0, 120.0), canvas.floor - 8.0);
    let size = canvas.dice.range(21.0, 27.0).min(canvas.floor * 0.16);
    let shift = canvas.dice.range(-8.0, 8.0);
    let lit = canvas.dice.below(5);
    let top = canvas.floor * 0.24;
    for (number, (dx, dy)) in [
        (-52.0, 0.5),
        (52.0, 0.4),
        (-26.0, 0.0),
        (27.0, -0.1),
        (0.0, 0.9),
    ]
    .into_iter()
    .enumerate()
    {
        let (x, y) = (100.0 + dx + shift, top + dy * size * 1.6);
        let fill = if number == lit { &light } else { &mid };
        canvas.line(
            format_args!(
                "M{x:.1} {:.1}Q{x:.1} {:.1} {:.1} {:.1}",
                y + size,
                (y + knot.1) / 2.0 + 10.0,
                knot.0,
                knot.1
            ),
            1.5,
            &ink,
        );
        canvas.ellipse((x, y), (size, size * 1.18), fill);
        canvas.polygon(
            &[
                (x, y + size * 1.1),
                (x + 4.0, y + size * 1.36),
                (x - 4.0, y + size * 1.36),
            ],
            fill,
        );
    }
}
