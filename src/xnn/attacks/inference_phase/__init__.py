"""[ADVERSARY] Attacks on what a device sends: z = LN(E(x)) + noise, with the device in hand.

The attacker holds intercepted z, clean photographs of the suspects and faces of its own. The public
extractor is LN(E), so `OwnFaces.tokens` are what the front end would send without its noise.
"""
