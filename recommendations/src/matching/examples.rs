//! What 126 keywords meet: the words that a review of 36,273 films found to be met, and those that begin alike and are
//! not. The figures of the review are in docs/BENCHMARKS.md; no text of a film is here.

use super::{FilmText, FilmWords, Keyword, matches};

/// A keyword, words and phrases that meet it, and some that do not; a comma between them.
type Example = (&'static str, &'static str, &'static str);

const EXAMPLES: [Example; 126] = [
    (
        "angel",
        "angel, Angels, angel's",
        "Angeles, Angela, Angelina, Angelo, angelic, Los Angeles-based",
    ),
    (
        "universe",
        "Universe, universes, universe's",
        "Universal, university, universally",
    ),
    (
        "intern",
        "intern, interns, interned",
        "international, Internet, internal, internment, internship, interest",
    ),
    (
        "heroin",
        "heroin",
        "heroine, heroines, heroic, heroism, a hero in",
    ),
    ("heroine", "heroine, heroines", "heroin, hero"),
    (
        "hero",
        "hero, heroes, anti-hero",
        "heroine, heroic, heroin, heroism, Herod",
    ),
    (
        "harris",
        "Harris, Harris's",
        "Harry, Harrison, Harriet, Harrington",
    ),
    ("harry", "Harry, Harry's", "Harris, Harrison, Harriet"),
    ("robert", "Robert, Robert's", "Roberts, Robertson, Roberta"),
    ("williams", "Williams, Williams'", "William, Williamson"),
    ("james", "James", "Jameson, Jamestown, jam"),
    ("mars", "Mars", "Mary, Martin, March, mark, mar"),
    (
        "news",
        "news, News Corporation",
        "new, Newman, newspaper, newly",
    ),
    ("thief", "thief, thieves, thief's", "theft, Thierry"),
    (
        "child",
        "child, children, children's",
        "childhood, childish, Childers",
    ),
    ("woman", "woman, women, women's", "womanizer, womanhood"),
    ("man", "man, men, men's", "mental, menace, human, Manning"),
    (
        "wolf",
        "wolf, wolves, wolf-like",
        "wolverine, Wolfe, Wolfgang, werewolf",
    ),
    ("werewolf", "werewolf, werewolves", "wolf"),
    ("foot", "foot, feet", "football, footage, footing"),
    ("mouse", "mouse, mice, cat-and-mouse", "Mickey, mousetrap"),
    ("criterion", "criterion, criteria", "critic"),
    ("knife", "knife, knives", "knight, knit"),
    ("life", "life, lives", "lively, lived, lifeless"),
    (
        "fly",
        "fly, flies, flew, flown, flying",
        "flight, Flynn, flyer",
    ),
    ("run", "run, runs, ran, running, re-running", "runner, rune"),
    (
        "write",
        "write, writes, wrote, written, writing",
        "writer, wright",
    ),
    ("teach", "teach, taught, teaching", "teacher, team"),
    (
        "steal",
        "steal, steals, stole, stolen, stealing",
        "steel, stealth",
    ),
    ("fight", "fight, fights, fought, fighting", "fighter"),
    ("die", "die, dies, died, dying, dice", "diet, dead, death"),
    ("dice", "dice", "die, dies, died"),
    (
        "marry",
        "marry, marries, married, marrying",
        "marriage, Mary",
    ),
    ("dance", "dance, dances, danced, dancing", "dancer"),
    (
        "hunt",
        "hunt, hunts, hunted, hunting, Man-Hunt",
        "hunter, hunger, hundred",
    ),
    (
        "kidnap",
        "kidnap, kidnapped, kidnapping, kidnapping-rescue",
        "kidnapper",
    ),
    (
        "murder",
        "murder, murders, murdered, murdering",
        "murderer, murderous",
    ),
    ("love", "love, loves, loved, loving", "lover, lovely, glove"),
    ("spy", "spy, spies, spied, spying", "Spielberg, spider"),
    ("star", "star, stars", "starring, starred, stare, start"),
    ("base", "base, bases", "based, basis, basic, baseball"),
    ("train", "train, trains", "training, trailer, trainer"),
    ("box", "box, boxes, box-office", "boxing, boxer"),
    ("boxing", "boxing", "box, boxer, boxes"),
    ("building", "building, buildings", "build, built, builder"),
    ("king", "king, kings, King's", "kingdom, Kingsley, kin"),
    ("ring", "ring, rings", "ringing, Ringo, boring"),
    (
        "organ",
        "organ, organs",
        "organized, organization, organism",
    ),
    ("animal", "animal, animals", "animated, animation, animator"),
    ("police", "police", "policy, policies, policeman"),
    ("policeman", "policeman, policemen", "police, policewoman"),
    ("prince", "prince, princes, prince's", "princess, principal"),
    ("princess", "princess, princesses", "prince, princes"),
    ("prison", "prison, prisons", "prisoner, imprisoned"),
    ("robot", "robot, robots, robot's", "robotic, RoboCop"),
    ("zombie", "zombie, zombies", "zombified"),
    ("vampire", "vampire, vampires", "vampiric, vampirism, vamp"),
    (
        "witch",
        "witch, witches, witch's",
        "witchcraft, Witcher, switch",
    ),
    ("ghost", "ghost, ghosts", "ghostly, Ghostface"),
    ("family", "family, families", "familiar, familial"),
    ("saw", "saw, saws, See-Saw", "see, seen, Sawyer"),
    ("\"angels\"", "Angels, ANGELS", "angel, angel's, Angeles"),
    (
        "cats & dogs",
        "Cats & Dogs, cats and dogs, Cats + Dogs, Cats&Dogs",
        "cats dogs, dogs and cats",
    ),
    (
        "U.S.",
        "U.S., U. S., the US, the U.S.-born",
        "us, it came for us.",
    ),
    ("DC", "DC Comics, D.C., Washington D. C.", "AC, dice"),
    ("PhD", "PhD, Ph.D., Ph.D, Ph. D., phd", "philosophy, pH"),
    ("1990s", "1990s, 1990's, late-1990s", "1990, 90s"),
    ("avventura", "L'Avventura, avventura", "adventure"),
    ("scifi", "sci-fi, sci fi, scifi, SciFi", "science, fi"),
    (
        "spiderman",
        "Spider-Man, Spiderman, Spider Man, Spider-Man's",
        "spider, man",
    ),
    (
        "superhero",
        "superhero, superheroes, super-hero, super heroes",
        "super, hero",
    ),
    (
        "bank robbery",
        "bank robbery, bank robberies, bank-robbery gang",
        "robbery, a bank and a robbery",
    ),
    (
        "time travel",
        "time travel, time-traveling, time travels",
        "travel in time, time traveler",
    ),
    (
        "science fiction",
        "science fiction, Science-Fiction",
        "fiction, science",
    ),
    (
        "love story",
        "love story, love stories",
        "love, story of love",
    ),
    ("A+", "A+, an A+ student", "A, a, A*, A-"),
    ("A*", "A*, the A* search", "A, a, A+"),
    ("B-", "a B-, graded B-", "B, B-movie, B+"),
    ("C+", "C+", "C, C++, C#, vitamin C"),
    ("I+", "I+", "I, i"),
    (".NET", ".NET, (.NET), .NET-based", "net, a net."),
    (
        "Disney+",
        "Disney+, Disney+-series",
        "Disney, Disney + film",
    ),
    ("disney", "Disney, Disney+", "Disneyland"),
    ("18+", "18+", "18, 18%"),
    ("100%", "100%", "100"),
    ("#1", "the #1 fan", "1, No. 1"),
    ("brown", "Brown, browned", "Tod Browning"),
    ("browning", "Tod Browning", "brown, browned"),
    ("mann", "Michael Mann", "Manning, manning"),
    ("hard", "hard", "Ann Harding"),
    ("well", "well, oil wells", "H. G. Wells"),
    ("wells", "H. G. Wells, oil wells", "well, welling"),
    ("park", "park, parks", "Gordon Parks"),
    ("davy", "Davy Jones", "Marion Davies"),
    ("carrie", "Carrie Fisher", "carrying, carried, carries"),
    ("pitt", "Brad Pitt", "ZaSu Pitts, pitted"),
    ("brook", "Brook, brook", "Mel Brooks"),
    ("will", "will, Will Smith", "Chill Wills"),
    ("singe", "singe, singed", "singing, sing"),
    (
        "ally",
        "ally, allies, they allied",
        "an Allied Artists film",
    ),
    ("jones", "Jones", "Jone, Jon"),
    ("athens", "Athens", "Athen"),
    ("mar", "it mars", "planet Mars"),
    ("len", "Len Deighton", "lens, lenses"),
    ("lens", "lens, lenses", "Len Deighton"),
    ("hunting", "hunting, hunted, they hunt", "Helen Hunt"),
    ("foxes", "foxes, fox", "20th Century Fox"),
    ("unite", "unite, they were united", "the United States"),
    ("state", "state, states", "the United States"),
    ("starr", "Ringo Starr", "starring, starred"),
    ("radius", "radius, radii", "radio"),
    ("stratum", "stratum, strata", "strategy"),
    ("paparazzo", "paparazzo, paparazzi", "paper"),
    ("basis", "basis, bases", "base, based"),
    ("staff", "staff, staffs, staves, staffed", "Stafford"),
    ("3-d", "3-D, 3D, 3 D", "3, D, 2D"),
    ("3d", "3-D, 3D", "3, 3rd"),
    ("catch22", "Catch-22, Catch 22", "catch"),
    ("rock", "rock'n'roll, rock 'n' roll, Rock n' Roll", "rocket"),
    (
        "rock and roll",
        "rock and roll, Rock & Roll, rock 'n' roll, rock'n'roll, rock n roll, rock-n-roll",
        "roll and rock",
    ),
    (
        "rock 'n' roll",
        "rock and roll, Rock & Roll, rock'n'roll",
        "rock on a roll",
    ),
    ("A.I.", "A.I., AI, the A. I.", "ai, aim"),
    ("D.C.", "D.C., DC, D. C., dc", "d, c"),
    ("\"US\"", "the US, the U.S.", "us, It came for us."),
    ("서울", "서울, 서울의, 서울에서, 서울은", "서울역, 새서울"),
    ("영화", "영화, 영화는, 영화를", "영화은, 영화관"),
];

#[test]
fn keywords_meet_the_words_that_they_should() {
    let mut wrong = Vec::new();
    for (text, meets, misses) in EXAMPLES {
        let keyword = Keyword::parse(text).unwrap();
        for (words, expected) in [(meets, true), (misses, false)] {
            for words in words.split(", ") {
                let film = FilmWords::of(&FilmText {
                    title: "",
                    description: &format!("of {words} here"),
                    genre: "",
                    keywords: &[],
                });
                if matches(&film, &keyword) != expected {
                    wrong.push(format!("{text}: {words}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
