package synth

import "math/rand/v2"

// things are what sentences are about.
var things = map[string][]string{
	"plant":  {"basil", "thistle", "radish", "lavender", "cactus", "turnip", "clover", "fennel", "poppy", "bamboo", "sage", "ivy", "squash", "nettle"},
	"tool":   {"shovel", "rake", "pliers", "bucket", "drill", "ladder", "soldering iron", "trowel", "wrench"},
	"place":  {"shed", "pond", "roof", "cellar", "greenhouse", "fence", "attic", "orchard"},
	"animal": {"crow", "hedgehog", "badger", "snail", "goose", "beetle"},
	"part":   {"antenna", "fuse", "battery", "speaker", "transistor", "dial", "cable", "knob"},
	"count":  {"two", "three", "four", "six", "seven", "nine", "twelve", "fifteen"},
}

var slotNames = []string{"animal", "count", "part", "place", "plant", "tool"}

// nick is what the crowd calls a thing.
func nick(thing string) string {
	switch thing {
	case "goose":
		return "sir honk"
	case "two", "three", "four", "six", "seven", "nine", "twelve", "fifteen":
		return map[string]string{"two": "2", "three": "3", "four": "4", "six": "6", "seven": "7", "nine": "9", "twelve": "12", "fifteen": "15"}[thing]
	}
	return thing
}

// kind is a family of sentences and what the crowd says to it.
type kind struct {
	name    string
	pull    float64 // how much more than others it is answered
	says    []string
	replies []string // may need things that the sentence does not name: then plain
	plain   []string
}

func kindOf(name string) *kind {
	for i := range kinds {
		if kinds[i].name == name {
			return &kinds[i]
		}
	}
	return nil
}

var kinds = []kind{
	{"hello", 1, []string{"Welcome in everybody, lovely to have you.", "Hi folks, good to see you again.", "Hey everyone, we are live from the garden."},
		[]string{"heyyy sproutHi", "sproutHi sproutHi", "hi hi", "evening sproutHi"}, []string{"hello"}},
	{"choose", 2, []string{"Should I plant the {plant} or the {plant2} first?", "Do we fix the {part} or the {part2} tonight?", "{plant} or {plant2}, what do you say?", "Do I climb up to the {place} or go down to the {place2}?"},
		[]string{"{plant2} for sure", "{plant} all day", "{part2} first", "{part} or nothing", "{place2} pls", "always {plant2}", "{plant2} > {plant}"}, []string{"the second one", "left", "both"}},
	{"ask", 2, []string{"What would you do with this {plant}?", "Where did I leave the {tool}?", "How do I keep the {animal} out of the {place}?", "Why is the {part} so warm?", "What is the best thing to grow on a {place}?"},
		[]string{"eat the {plant}", "check behind the {place}", "{tool} is in the pond", "ask the {animal} nicely", "{part} is about to go boom", "the pond again", "{place} needs a moat"}, []string{"science", "magic", "no clue chief"}},
	{"right", 1.6, []string{"Does the {part} sound right to you?", "Can anyone see the {animal}?", "Is the {plant} supposed to look like that?", "Did the {tool} just break?"},
		[]string{"{part} sounds like soup", "{animal} is on your head", "yes {plant} is fine", "rip {tool} wiltRip", "{plant} has seen things"}, []string{"nope", "yep looks cursed", "probably fine"}},
	{"mishap", 1.8, []string{"I just stepped on the {plant}.", "The {tool} fell into the pond.", "We blew another {part}, the last one of {count}.", "The {animal} ate all of the {plant}.", "That is {count} holes in the {place} now."},
		[]string{"rip {plant} wiltRip", "F for the {part}", "{animal} wins wiltRip", "{count} left wiltRip", "pond 1 {tool} 0", "{place} is done for wiltRip"}, []string{"wiltRip", "wiltRip wiltRip", "classic"}},
	{"triumph", 1.8, []string{"Look at that, the {plant} is blooming!", "The {part} works, we have signal!", "I finally caught the {animal}!", "{count} jars of {plant} honey, all done!"},
		[]string{"{plant} glow up bloomW", "{part} king bloomW", "free {animal}", "{count} jars bloomW", "ship me some {plant}"}, []string{"bloomW", "bloomW bloomW bloomW", "lets goooo bloomW"}},
	{"vote", 1.4, []string{"Press one for {plant} or two for {plant2}.", "The vote is open, {place} or {place2}.", "Vote for the name of the {animal}."},
		[]string{"1", "2", "2", "{place2}", "{animal} mcface", "1 {plant}"}, []string{"voted", "rigged"}},
	{"thanks", 0.8, []string{"Thanks for the {count} gifted subs, wow.", "Cheers for the raid, welcome raiders."},
		[]string{"{count} subs bloomW", "raiders sproutHi", "W gifter"}, []string{"bloomW sproutHi"}},
	{"work", 0.5, []string{"I will just water the {plant} for a bit.", "So we screw the {part} back onto the board.", "Then it goes under the {place} for {count} days.", "Let me find the {tool} quickly.", "And this one goes over there.", "We need some more light in here."},
		[]string{"{plant} thirsty", "careful with the {part}", "{count} days is ages", "{tool} cam when", "{place} arc"}, []string{"cozy", "take your time chief"}},
	{"story", 0.4, []string{"My neighbour once built a whole tower out of old radios.", "When I was small we had a market here every week.", "It rained so much last year that the street was gone.", "I read somewhere that this was an old railway."},
		[]string{"neighbour lore", "tower of radios sounds real", "market arc", "rain lore", "railway plot twist"}, []string{"story time", "go on"}},
}

var emotes = []string{"sproutHi", "wiltRip", "bloomW", "hoeD", "pondS", "leafGa"}

var phrases = []string{
	"my laptop is dying", "who else is at work rn", "making tea brb", "did anyone watch the match", "its so hot today", "cant sleep", "what song is this",
	"new here hello", "my dog says hi", "exam tomorrow send help", "anyone play chess", "ordering noodles", "lag is bad today", "back from the gym", "happy friday all",
	"is this on replay", "lol", "xd", "hahaha", "gg", "same", "nice", "true", "what", "mood", "bruh", "ok", "real", "no shot", "hmm",
}

var openers = []string{"my", "the", "that", "some", "our"}
var nouns = []string{"bus", "boss", "brother", "keyboard", "train", "roommate", "cat", "phone", "monitor", "weekend", "landlord", "coffee"}
var verbs = []string{"is late", "is broken again", "is so loud", "was great", "makes no sense", "is on fire lol", "needs a nap", "is gone"}

// smalltalk makes a message about nothing that was said: half of them stock phrases, half put together.
func smalltalk(r *rand.Rand) string {
	if r.IntN(2) == 0 {
		return phrases[r.IntN(len(phrases))]
	}
	return openers[r.IntN(len(openers))] + " " + nouns[r.IntN(len(nouns))] + " " + verbs[r.IntN(len(verbs))]
}

var pastas = []string{
	"i have watched this garden for three hundred years and it has never once watched me back, type leaf if you agree",
	"dear moderators my turnip has achieved sentience and demands a seat on the council please advise soon",
	"this is a certified wheelbarrow moment, pass it on to nine friends or your radio will only play weather",
}

var commands = [][2]string{
	{"!garden", "The garden map is linked below the stream, have a look around."},
	{"!radio", "The radio is a kit from a flea market, all parts are listed below."},
	{"!time", "It is evening where the garden is, the stream began a while ago."},
}

var answers = []string{"same here", "no way", "agreed", "where did you get that", "good one", "stop it", "lol true", "i thought so too", "you wish", "get well soon"}

var names = []string{"mint", "owl", "pixel", "tofu", "rusty", "moss", "echo", "dune", "juno", "pip", "koi", "zed"}
