package chat

import "strings"

// serviceBots are accounts that speak for a program on many channels.
var serviceBots = map[string]bool{
	"nightbot": true, "streamelements": true, "streamlabs": true, "moobot": true, "fossabot": true, "wizebot": true,
	"sery_bot": true, "soundalerts": true, "pokemoncommunitygame": true, "botisimo": true, "deepbot": true, "coebot": true,
	"phantombot": true, "ankhbot": true, "kofistreambot": true, "own3d": true, "tangiabot": true, "blerp": true,
	"botrixoficial": true, "botrix": true, "kickbot": true, "restreambot": true, "streamlootsbot": true, "songlistbot": true,
	"rainmaker": true, "dixperbro": true, "frostytoolsdotcom": true, "streamstickers": true, "playwithviewersbot": true,
	"lolrankbot": true, "creatisbot": true, "titlechange_bot": true, "hnlbot": true, "vivbot": true, "xanbot": true,
	"mikuia": true, "stay_hydrated_bot": true, "scorpbot": true, "revlobot": true, "priestbot": true, "muxybot": true,
	"electricallongboard": true, "thepositivebot": true, "mirrobot": true, "drinking_buddy_bot": true, "jtv": true,
	"twitchnotify": true, "potatbotat": true, "supibot": true, "snusbot": true, "streamerbot": true, "casterlabs": true,
	"lumiastream": true, "warp_world": true, "warpworldbot": true, "cloudbot": true,
}

// IsServiceBot says whether login is one of the well-known accounts that programs speak through.
func IsServiceBot(login string) bool { return serviceBots[strings.ToLower(login)] }

// badgeRole gives the role that a badge stands for, by the platforms' own names for badges.
func badgeRole(name string) Roles {
	switch name {
	case "broadcaster", "owner", "OWNER", "Owner":
		return Broadcaster
	case "moderator", "lead_moderator", "global_mod", "admin", "staff", "MODERATOR", "Moderator", "super_admin":
		return Moderator
	case "subscriber", "founder", "sub_gifter_leader", "og", "member", "Member", "New member":
		return Subscriber
	case "vip":
		return VIP
	case "partner", "verified", "ambassador", "VERIFIED", "Verified", "verified-user":
		return Verified
	case "bot-badge", "bot_badge", "bot", "Bot", "chatbot":
		return Bot
	}
	return 0
}

// badge adds a badge by name and version to a.
func (a *Author) badge(name, version string) {
	if name == "" {
		return
	}
	a.Roles |= badgeRole(name)
	if version != "" {
		name += "/" + version
	}
	a.Badges = append(a.Badges, name)
}
