"""What XNN does not protect: fixed words, so that no report can leave them out."""

NOT_PROTECTED: tuple[tuple[str, str], ...] = (
    (
        "Known photographs break the key.",
        "All records of a data set share one permutation and one matrix. Whoever has a handful of "
        "the photographs and the records made from them solves for both and undoes every record. "
        "A photograph planted among yours, or a public person in the set, is enough.",
    ),
    (
        "Matching pairs are not even needed.",
        "The extractor is public, so anyone can compute what features look like on average. "
        "Red-team research on this design recovers the key from such statistics alone, by "
        "comparing the moments of many records with those of other people's faces. Take the "
        "obfuscation as an obstacle to reading records one by one, not as a barrier to someone "
        "who holds thousands and wants the key.",
    ),
    (
        "Angles survive.",
        "The matrix nearly keeps, and in its orthogonal form exactly keeps, the angles between "
        "the tokens of one record: a fingerprint that needs no key. It is why the colours above "
        "are only rearranged.",
    ),
    (
        "Reusing a key adds up.",
        "Every record made under a key is more evidence about it, and two data sets under one key "
        "can be linked with each other. The key's exposure counter says how many records there "
        "are; a new key means training again.",
    ),
    (
        "Labels and class sizes are in the clear.",
        "Training needs to know which records belong together. The class numbers are drawn at "
        "random, but the cloud sees how many people there are, how many photographs each has, and "
        "may average all the records of one person.",
    ),
    (
        "Whoever holds the tail recognises.",
        "The cloud keeps what it trained. With the tail and records made under your key, it can "
        "tell whether two of them show the same person, as you can.",
    ),
    (
        "A failed attack proves little.",
        "The attack above is one of many, with one budget. That it fails says nothing about a "
        "stronger one.",
    ),
)
