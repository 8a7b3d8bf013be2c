"""The texts of the text-to-text cases, from which the vocabularies of their tokenizers were trained too."""

ENGLISH = (
    "I am happy.",
    "No.",
    "Where is the nearest railway station, please?",
    "Two young men are playing football in a park while their friends watch from a wooden bench.",
    "She didn't answer; the phone kept ringing all afternoon.",
    "What a waste of time!",
    "It costs 12.50 euros, which is far too much for a bowl of soup.",
    "The children's laughter could be heard across the lake.",
    "An old fisherman mends his net beside a blue boat at dawn.",
    "Open the window before you leave, and do not forget the keys on the kitchen table.",
    "Rain fell.",
    "My sister has lived in Vienna since 2009 and teaches chemistry at a small school.",
    "If the train is late again, we shall miss the beginning of the concert.",
    "Nobody knows who wrote the letter that was found behind the mirror.",
    "The second engine started with a cough, then a roar.",
)
FRENCH = (
    "Je suis heureux.",
    "Où est la gare la plus proche, s'il vous plaît ?",
    "Deux jeunes hommes jouent au football dans un parc pendant que leurs amis regardent depuis un banc en bois.",
    "Elle n'a pas répondu ; le téléphone a sonné tout l'après-midi.",
    "Cela coûte 12,50 euros, c'est bien trop pour une soupe.",
    "Un vieux pêcheur répare son filet à côté d'un bateau bleu à l'aube.",
    "Personne ne sait qui a écrit la lettre trouvée derrière le miroir.",
)
OTHERS = (
    "Wo ist der nächste Bahnhof, bitte?",
    "Niemand weiß, wer den Brief geschrieben hat, der hinter dem Spiegel lag.",
    "Cine a scris scrisoarea găsită în spatele oglinzii?",
    "¿Dónde está la estación más cercana, por favor?",
)
ARTICLE = (
    "The city council voted on Tuesday to close the old bridge for repairs until the spring. Engineers had found rust "
    "in nine of its forty cables, and two lanes have been shut since June. Shopkeepers on the east bank fear that they "
    "will lose half of their customers. The mayor, Ann Weir, said that a ferry would run every ten minutes from dawn "
    "to midnight. It will cost 3.4 million pounds, most of it paid by the county."
)
DIALOGUE = 'Anna: "Did you feed the cat?"\nBen: "Twice. She says she is still hungry."\n\nAnna: "She always does."'
ODD = (
    "Naïve café, ﬁancée & cœur: 50 % off – “today” only… ½ price №5",  # ligatures, quotes, fractions
    "東京は雨です。Ｆｕｌｌ　ｗｉｄｔｈ 42",
    "I ❤️ 🐈‍⬛ and 👩🏽‍🚀!",
    "Привет, как дела? Все хорошо.",
    "e\u0301te\u0301 re\u0301sume\u0301 \u00a0non\u2009breaking\u200bzero\ufeffwidth",
    "  two  spaces,\ta tab\r\nand a line  ",
    "https://example.org/a?b=c&d=%20 <b>bold</b> </s> <pad> #hash @name C:\\temp\\x",
    "?!…",
    "a",
    "shhhhhhhhhhhhhhhhhhhh aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "\x00\x07 control \x1b[0m characters",
    "3.14159 2,000,000 1e-9 -7 +44 20 7946 0958",
)
TEXTS = [*ENGLISH, *FRENCH, *OTHERS, ARTICLE, DIALOGUE, *ODD]
