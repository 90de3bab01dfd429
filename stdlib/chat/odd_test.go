package chat

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestOddRecords reads, format by format, the oddest records that programs and platforms write.
func TestOddRecords(t *testing.T) {
	quoted := func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	td := func(comments ...string) string { return `{"comments":[` + strings.Join(comments, ",") + `]}` }
	irc := func(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n" }
	privmsg := func(tags, text string) string {
		return "@" + tags + " :ada!ada@ada.tmi.twitch.tv PRIVMSG #chef :" + text
	}
	for _, c := range []struct {
		name, text string
		want       []string // as line writes messages, from their id on
		report     Report
		options    Options
	}{
		{
			name: "TwitchDownloader: no commenter, two messages in one record, text that differs from its pieces, 7TV zero-width emotes",
			text: td(
				`{"_id":"a","content_offset_seconds":1,"commenter":null,"message":{"body":"gone","fragments":[{"text":"gone","emoticon":null}],"user_badges":[]}}`,
				`{"_id":"b","content_offset_seconds":2,"commenter":{"_id":"1","name":"bo","display_name":"Bo"},"message":{"body":"hi Kappa","fragments":[{"text":"hi "},{"text":"Kappa","emoticon":{"emoticon_id":"25"}}],"user_badges":[{"_id":"vip","version":"1"}]},"message":{"body":"Follow the chef","user_badges":null}}`,
				`{"_id":"c","content_offset_seconds":3,"commenter":{"_id":"1","name":"bo","display_name":"Bo"},"message":{"body":"👩\u200d🍳 é Kappa","fragments":[{"text":"Kappa","emoticon":{"emoticon_id":"25"}}],"bits_spent":-5}}`,
				`{"_id":"d","content_offset_seconds":4,"commenter":{"_id":"1","name":"bo","display_name":"Bo"},"message":{"body":"Cheer100 EZ RainTime \udb40\udc00","fragments":[{"text":"Cheer100 EZ RainTime \udb40\udc00"}],"bits_spent":100}}`,
			),
			options: Options{Emotes: []EmoteCode{{ID: "z", Name: "RainTime", Provider: "7tv"}, {ID: "e", Name: "EZ", Provider: "7tv"}}},
			want: []string{
				`a|||: "gone"`, `b|1|bo|Bo: "Follow the chef"`, `c|1|bo|Bo: "👩\u200d🍳 é Kappa" [twitch 25 Kappa="Kappa"]`,
				`d|1|bo|Bo: "Cheer100 EZ RainTime" [7tv e EZ="EZ"] [7tv z RainTime="RainTime"] bits=100`,
			},
			report: Report{Read: 4, Kept: 4},
		},
		{
			name: "IRC: emotes behind joined emoji, /me, bits, replies to what was deleted, highlights, gifts, other rooms, server-time",
			text: irc(
				privmsg("id=a;user-id=1;display-name=Ada;emotes=25:4-8;tmi-sent-ts=1743530401000", "👩\u200d🍳 Kappa"),
				privmsg("id=b;user-id=1;display-name=Ada;emotes=25:6-10;tmi-sent-ts=1743530402000", "\x01ACTION waves Kappa\x01"),
				privmsg("id=c;user-id=1;display-name=Ada;bits=100;emotes=25:9-13;tmi-sent-ts=1743530403000", "Cheer100 Kappa"),
				privmsg("id=d;user-id=1;display-name=Ada;reply-parent-msg-id=gone;reply-parent-msg-body=;msg-id=highlighted-message;first-msg=1;tmi-sent-ts=1743530404000", "@Bo why"),
				"@id=e;login=cy;user-id=6;msg-id=subgift;system-msg=Cy\\sgifted;tmi-sent-ts=1743530405000 :tmi.twitch.tv USERNOTICE #chef",
				"@id=f;login=cy;user-id=6;display-name=Cy;msg-id=sharedchatnotice;source-msg-id=resub;source-room-id=99;room-id=4711;tmi-sent-ts=1743530406000 :tmi.twitch.tv USERNOTICE #chef :six months",
				privmsg("id=g;user-id=8;display-name=Gus;room-id=4711;source-room-id=99;source-id=q;tmi-sent-ts=1743530407000", "from next door"),
				privmsg("id=h;user-id=8;display-name=Gus;room-id=4711;source-room-id=4711;tmi-sent-ts=1743530408000", "from here"),
				privmsg("id=i;user-id=1;time=2025-04-01T18:00:09.500Z", "by another server's clock"),
				"@target-msg-id=c;tmi-sent-ts=1743530410000 :tmi.twitch.tv CLEARMSG #chef :Cheer100 Kappa",
				":ada!ada@ada.tmi.twitch.tv PRIVMSG #chef :no tags at all",
			),
			want: []string{
				`a|1|ada|Ada: "👩\u200d🍳 Kappa" [twitch 25 Kappa="Kappa"]`,
				`b|1|ada|Ada: "waves Kappa" [twitch 25 Kappa="Kappa"] action`,
				`c|1|ada|Ada: "Cheer100 Kappa" [twitch 25 Kappa="Kappa"] bits=100 deleted`,
				`d|1|ada|Ada: "@Bo why" reply=gone`,
				`f|6|cy|Cy: "six months" room=99 notice=resub`,
				`g|8|ada|Gus: "from next door" room=99`,
				`h|8|ada|Gus: "from here"`,
				`i|1|ada|ada: "by another server's clock"`,
			},
			report: Report{Read: 11, Kept: 8, Ignored: 2, Malformed: 1, Deleted: 1},
		},
		{
			name: "justlog JSON, the newest first, in the short form without kinds",
			text: `{"messages":[
				{"text":"back","displayName":"Dee","timestamp":"2025-04-01T18:10:00Z","id":"3","tags":{"user-id":"7"}},
				{"text":"dee has been timed out for 60 seconds","displayName":"","timestamp":"2025-04-01T18:00:05Z","id":"","tags":{"target-user-id":"7","ban-duration":"60"}},
				{"text":"Cy subscribed. ","displayName":"Cy","timestamp":"2025-04-01T18:00:04Z","id":"2","tags":{"user-id":"6","login":"cy","msg-id":"sub","system-msg":"Cy subscribed."}},
				{"text":"Cy subscribed. for the soup","displayName":"Cy","timestamp":"2025-04-01T18:00:03Z","id":"4","tags":{"user-id":"6","login":"cy","msg-id":"resub","system-msg":"Cy\\ssubscribed."}},
				{"text":"spam","displayName":"Dee","timestamp":"2025-04-01T18:00:01Z","id":"1","tags":{"user-id":"7"}}]}`,
			want:   []string{`1|7||Dee: "spam" deleted`, `4|6|cy|Cy: "for the soup" notice=resub`, `3|7||Dee: "back"`},
			report: Report{Read: 5, Kept: 3, Ignored: 2, Deleted: 1, Unsorted: 2},
		},
		{
			name: "justlog text: days of one digit, a cleared chat, an announcement that sounds like a ban",
			text: "[2025-04-1 18:00:01] #chef Dee: spam\r\n[2025-04-1 18:00:02] #chef  has been banned\r\n[2025-04-1 18:00:03] #chef Bo: still here\r\n" +
				"[2025-04-1 18:00:04] #chef  Bo has been banned before\r\n[2025-04-11 18:00:05] #chef Bo: ten days later\r\n",
			want:   []string{`|dee|dee|Dee: "spam" deleted`, `|bo|bo|Bo: "still here"`, `|bo|bo|Bo: "ten days later"`},
			report: Report{Read: 5, Kept: 3, Ignored: 2, Deleted: 1},
		},
		{
			name: "rustlog text: names before what moderators did",
			text: "[2025-04-01 18:00:01] #chef dee: spam\r\n[2025-04-01 18:00:02] #chef dee: dee has been timed out for 600 seconds\r\n" +
				"[2025-04-01 18:00:03] #chef bo: bo has been waiting\r\n[2025-04-01 18:00:04] #chef Chat has been cleared\r\n[2025-04-01 18:00:05] #chef bo: dee has been banned\r\n",
			want:   []string{`|dee|dee|dee: "spam" deleted`, `|bo|bo|bo: "bo has been waiting" deleted`, `|bo|bo|bo: "dee has been banned"`},
			report: Report{Read: 5, Kept: 3, Ignored: 2, Deleted: 2},
		},
		{
			name: "logs of one channel and user by the first justlog",
			text: "[2017-03-4 18:00:01] ada: hi\r\n[2017-03-14 18:00:02] ada: hi again\r\n",
			want: []string{`|ada|ada|ada: "hi"`, `|ada|ada|ada: "hi again"`}, report: Report{Read: 2, Kept: 2},
		},
		{
			name: "IRC: last words without a colon",
			text: irc(privmsg("id=a;user-id=7;tmi-sent-ts=1743530401000", "spam"), "@ban-duration=5;tmi-sent-ts=1743530402000 :tmi.twitch.tv CLEARCHAT #chef ada",
				"@id=b;user-id=8;tmi-sent-ts=1743530403000 :bo!bo@bo.tmi.twitch.tv PRIVMSG #chef oneword"),
			want: []string{`a|7|ada|ada: "spam" deleted`, `b|8|bo|bo: "oneword"`}, report: Report{Read: 3, Kept: 2, Ignored: 1, Deleted: 1},
		},
		{
			name: "tcd: several badges, its own format's bracket behind /me, days",
			text: "[0:00:03] <@%Ada> hi\n[0:00:10] *Bo waves]\n[0:00:12] *Bo points at [soup]\n[23:59:59] <Bo> late\n[1 day, 0:00:02] <Bo> later\n[2 days, 1:00:00] <Bo> latest\n",
			want: []string{
				`|ada|ada|Ada: "hi" badges=moderator,subscriber roles=00110`, `|bo|bo|Bo: "waves" action`, `|bo|bo|Bo: "points at [soup]" action`,
				`|bo|bo|Bo: "late"`, `|bo|bo|Bo: "later"`, `|bo|bo|Bo: "latest"`,
			},
			report: Report{Read: 6, Kept: 6},
		},
		{
			name:   "justlog text: moderators and notices",
			text:   "[2025-04-01 18:00:01] #chef Dee: spam\n[2025-04-01 18:00:02] #chef dee has been banned\n[2025-04-01 18:00:03] #chef Cy subscribed at Tier 1\n[2025-04-01 18:00:04] #chef dee: sorry\n",
			want:   []string{`|dee|dee|Dee: "spam" deleted`, `|dee|dee|dee: "sorry"`},
			report: Report{Read: 4, Kept: 2, Ignored: 2, Deleted: 1},
		},
		{
			name:   "Chatterino: moderators",
			text:   "# Start logging at 2025-04-01 18:00:00 CEST\n[18:00:01] dee: spam\n[18:00:02] ada: hi\n[18:00:03] dee has been timed out for 10m.\n",
			want:   []string{`|dee|dee|dee: "spam" deleted`, `|ada|ada|ada: "hi"`},
			report: Report{Read: 3, Kept: 2, Ignored: 1, Deleted: 1},
		},
		{
			name: "Chatterino: two spaces, logging that ends and begins again",
			text: "# Start logging at 2025-04-01 18:00:00 CEST\n[18:00:01]  dee: spam\n[18:00:02]  Cy subscribed at Tier 1: 6 months\n[23:59:59] 莉 rie: first: things\n# Stop logging at 2025-04-02 00:00:00 CEST\n\n# Start logging at 2025-04-02 20:00:00 CEST\n[20:00:01]  ada: hi\n",
			want: []string{`|dee|dee|dee: "spam"`, `|rie|rie|莉: "first: things"`, `|ada|ada|ada: "hi"`}, report: Report{Read: 4, Kept: 3, Ignored: 1},
		},
		{
			name: "yt-dlp: super chats and stickers, members, tickers, placeholders, replacements, deletions, the waiting room",
			text: strings.Join([]string{
				youTubeAdd("0", `"liveChatTextMessageRenderer":{"id":"w","timestampUsec":"1600000000000000","timestampText":{"simpleText":"−1:40"},"authorName":{"simpleText":"W"},"authorExternalChannelId":"UCw","message":{"runs":[{"text":"soon?"}]}}`),
				youTubeAdd("1000", `"liveChatPaidMessageRenderer":{"id":"p","timestampUsec":"1600000101000000","authorName":{"simpleText":"P"},"authorExternalChannelId":"UCp","purchaseAmountText":{"simpleText":"$5.00"},"message":{"runs":[{"text":"for you"}]}}`),
				youTubeAdd("1000", `"liveChatPaidMessageRenderer":{"id":"p0","timestampUsec":"1600000101000000","authorName":{"simpleText":"P"},"purchaseAmountText":{"simpleText":"$5.00"}}`),
				youTubeAdd("2000", `"liveChatPaidStickerRenderer":{"id":"s","timestampUsec":"1600000102000000","authorName":{"simpleText":"S"}}`),
				youTubeAdd("3000", `"liveChatMembershipItemRenderer":{"id":"m0","timestampUsec":"1600000103000000","authorName":{"simpleText":"M"},"headerSubtext":{"runs":[{"text":"Welcome to Chefs!"}]}}`),
				youTubeAdd("4000", `"liveChatMembershipItemRenderer":{"id":"m6","timestampUsec":"1600000104000000","authorName":{"simpleText":"M"},"authorExternalChannelId":"UCm","headerPrimaryText":{"runs":[{"text":"Member for 6 months"}]},"message":{"runs":[{"text":"half a year"}]}}`),
				youTubeAdd("4500", `"liveChatSponsorshipsGiftRedemptionAnnouncementRenderer":{"id":"g","timestampUsec":"1600000104500000","message":{"runs":[{"text":"was gifted a membership by "},{"text":"M"}]}}`),
				`{"replayChatItemAction":{"actions":[{"addLiveChatTickerItemAction":{"item":{"liveChatTickerPaidMessageItemRenderer":{"id":"p"}}}}],"videoOffsetTimeMsec":"5000"}}`,
				youTubeAdd("6000", `"liveChatPlaceholderItemRenderer":{"id":"h","timestampUsec":"1600000106000000"}`),
				`{"replayChatItemAction":{"actions":[{"replaceChatItemAction":{"targetItemId":"h","replacementItem":{"liveChatTextMessageRenderer":{"id":"h","timestampUsec":"1600000106000000","authorName":{"simpleText":"H"},"authorExternalChannelId":"UCh","message":{"runs":[{"text":"was held "},{"emoji":{"emojiId":"UCx/1","shortcuts":[":hi:"]}},{"emoji":{"emojiId":"👩\u200d🍳"}}]}}}}}],"videoOffsetTimeMsec":"6500"}}`,
				youTubeAdd("7000", `"liveChatTextMessageRenderer":{"id":"r","timestampUsec":"1600000107000000","authorName":{"simpleText":"R"},"authorExternalChannelId":"UCr","message":{"runs":[{"text":"hidden later"}]}}`),
				`{"replayChatItemAction":{"actions":[{"replaceChatItemAction":{"targetItemId":"r","replacementItem":{"liveChatPlaceholderItemRenderer":{"id":"r","timestampUsec":"1600000107000000"}}}}],"videoOffsetTimeMsec":"7500"}}`,
				youTubeAdd("8000", `"liveChatTextMessageRenderer":{"id":"x","timestampUsec":"1600000108000000","authorName":{"simpleText":"X"},"authorExternalChannelId":"UCx","message":{"runs":[{"text":"bad"}]}}`),
				`{"replayChatItemAction":{"actions":[{"removeChatItemByAuthorAction":{"externalChannelId":"UCx"}}],"videoOffsetTimeMsec":"8500"}}`,
			}, "\n"),
			want: []string{
				`w|UCw||W: "soon?"`, `p|UCp||P: "for you" notice=paid`, `m6|UCm||M: "half a year" notice=membership`,
				`h|UCh||H: "was held :hi:👩\u200d🍳" [youtube UCx/1 :hi:=":hi:"]`, `r|UCr||R: "hidden later" deleted`, `x|UCx||X: "bad" deleted`,
			},
			report: Report{Read: 14, Kept: 6, Ignored: 8, Deleted: 2, Negative: 1},
		},
		{
			name: "yt-dlp of a live stream: what was written before it began to record",
			text: `{"replayChatItemAction":{"actions":[{"addChatItemAction":{"item":{"liveChatTextMessageRenderer":{"id":"a","timestampUsec":"1600000000000000","authorName":{"simpleText":"A"},"message":{"runs":[{"text":"early"}]}}}}}]},"videoOffsetTimeMsec":"-2500","isLive":true}` + "\n" +
				`{"replayChatItemAction":{"actions":[{"addChatItemAction":{"item":{"liveChatTextMessageRenderer":{"id":"b","timestampUsec":"1600000003500000","authorName":{"simpleText":"A"},"message":{"runs":[{"text":"now"}]}}}}}]},"videoOffsetTimeMsec":"1000","isLive":true}` + "\n",
			want:   []string{`a|||A: "early"`, `b|||A: "now"`},
			report: Report{Read: 2, Kept: 2, Negative: 1},
		},
		{
			name: "chat-downloader of Twitch, live: /me, highlights, notices, bans, a cleared chat, other rooms",
			text: `[{"message_id":"a","message":"spam","timestamp":1743530401000000,"action_type":"text_message","message_type":"text_message","author":{"id":"7","name":"莉","display_name":"莉"}},
				{"timestamp":1743530402000000,"action_type":"clear_chat","message_type":"ban_user","ban_type":"timeout","banned_user":"rie","target_author_id":"7"},
				{"message_id":"b","message":"waves Kappa\u0001","timestamp":1743530403000000,"action_type":"text_message","message_type":"text_message","author":{"id":"1","name":"ada","display_name":"Ada"},"emotes":[{"id":"25","name":"Kappa","locations":["6-10"]}]},
				{"message":"This room is now in slow mode.","action_type":"notice","message_type":"enable_slow_mode","channel_id":"4711"},
				{"message_id":"c","message":"look here","timestamp":1743530404000000,"action_type":"text_message","message_type":"highlighted_message","author":{"id":"1","name":"ada","display_name":"Ada"}},
				{"timestamp":1743530405000000,"action_type":"clear_chat","message_type":"clear_chat"},
				{"message_id":"d","message":"next door","timestamp":1743530406000000,"action_type":"text_message","message_type":"text_message","channel_id":"4711","source_room_id":"99","author":{"id":"1","name":"ada","display_name":"Ada"}},
				{"message_id":"e","message":"six months","timestamp":1743530407000000,"action_type":"user_notice","message_type":"resubscription","author":{"id":"6","name":"cy","display_name":"Cy"}}]`,
			want: []string{
				`a|7|莉|莉: "spam" deleted`, `b|1|ada|Ada: "waves Kappa" [twitch 25 Kappa="Kappa"] action deleted`, `c|1|ada|Ada: "look here" deleted`,
				`d|1|ada|Ada: "next door" room=99`, `e|6|cy|Cy: "six months" notice=resubscription`,
			},
			report: Report{Read: 8, Kept: 5, Ignored: 3, Deleted: 3},
		},
		{
			name: "chat-downloader of YouTube: before the start, the platform's own words, tickers, banners",
			text: `[{"message_id":"a","message":"soon?","timestamp":1600000000000000,"time_in_seconds":-100,"time_text":"-1:40","action_type":"add_chat_item","message_type":"text_message","author":{"id":"UCa","name":"A"}},
				{"message_id":"b","message":"soon!","timestamp":1600000010000000,"time_in_seconds":0.0,"time_text":"-1:30","action_type":"add_chat_item","message_type":"text_message","author":{"id":"UCa","name":"A"}},
				{"message":"Welcome to live chat!","timestamp":1600000100000000,"time_in_seconds":0,"action_type":"add_chat_item","message_type":"viewer_engagement_message"},
				{"message_id":"c","message":"money","money":{"text":"$5.00"},"timestamp":1600000101000000,"time_in_seconds":1,"time_text":"0:01","action_type":"add_chat_item","message_type":"paid_message","author":{"id":"UCp","name":"P"}},
				{"message_id":"c2","message":"money","timestamp":1600000101000000,"time_in_seconds":1,"action_type":"add_live_chat_ticker_item","message_type":"ticker_paid_message_item","author":{"id":"UCp","name":"P"}},
				{"message_id":"a2","message":"pinned","timestamp":1600000102000000,"time_in_seconds":2,"action_type":"add_banner_to_live_chat","message_type":"banner","author":{"id":"UCa","name":"A"}},
				{"message":"was gifted a membership by M","timestamp":1600000103000000,"time_in_seconds":3,"action_type":"add_chat_item","message_type":"sponsorships_gift_redemption_announcement","author":{"id":"UCg","name":"G"}}]`,
			want:   []string{`a|UCa||A: "soon?"`, `b|UCa||A: "soon!"`, `c|UCp||P: "money" notice=paid`},
			report: Report{Read: 7, Kept: 3, Ignored: 4, Negative: 2},
		},
		{
			name: "chat-downloader of YouTube: standard emoji as shortcuts, badges in other languages, greetings by old versions",
			text: `[{"message_id":"a","message":":face_with_tears_of_joy: lol:face_with_tears_of_joy::_chefHi:","timestamp":1600000101000000,"time_in_seconds":1.5,"action_type":"add_chat_item","message_type":"text_message","author":{"id":"UCa","name":"A","badges":[{"title":"Moderatorin","icon_name":"moderator"}]},
					"emotes":[{"id":"😂","name":":face_with_tears_of_joy:","shortcuts":[":face_with_tears_of_joy:",":joy:"],"is_custom_emoji":false},{"id":"UCx/1","name":":_chefHi:","shortcuts":[":_chefHi:",":chefHi:"],"is_custom_emoji":true}]},
				{"message_id":"b","message":"Welcome to Chefs!","timestamp":1600000102000000,"time_in_seconds":2.5,"action_type":"add_chat_item","message_type":"membership_item","author":{"id":"UCb","name":"B"}},
				{"message_id":"c","message":"Welcome to my world","header_primary_text":"Member for 6 months","timestamp":1600000103000000,"time_in_seconds":3.5,"action_type":"add_chat_item","message_type":"membership_item","author":{"id":"UCb","name":"B"}},
				{"message_id":"d","message":"B donated $5","timestamp":1600000104000000,"time_in_seconds":4.5,"action_type":"add_chat_item","message_type":"donation_announcement"}]`,
			want: []string{
				`a|UCa||A: "😂 lol😂:_chefHi:" badges=Moderatorin roles=00010 [youtube UCx/1 :_chefHi:=":_chefHi:"]`, `c|UCb||B: "Welcome to my world" notice=membership`,
			},
			report: Report{Read: 4, Kept: 2, Ignored: 2},
		},
		{
			name: "chat-downloader of Facebook, Reddit and Zoom",
			text: `{"message_id":"f1","timestamp":1600000101000000,"time_in_seconds":1,"time_text":"0:01","message":"first","message_type":"text_message","is_author_original_poster":true,"author":{"id":"100","name":"Ada Chef","type":"user","is_verified":true}}
{"message_id":"f2","timestamp":1600000102000000,"time_in_seconds":2,"time_text":"0:02","message":"second","message_type":"text_message","is_author_bot":false,"author":{"id":"101","name":"Bo"},"in_reply_to":{"message_id":"f1","message":"first"}}
{"message_id":"f3","timestamp":1600000103000000,"time_in_seconds":3,"time_text":"0:03","attachments":[{"type":"Sticker"}],"author":{"id":"101","name":"Bo"}}
{"message_id":"t1_a","timestamp":1600000104000000,"message":"hello pan","message_type":"new_comment","post_id":"t3_x","parent_message_id":"t3_x","author":{"name":"cy","id":"t2_c"},"author_display_name":"cy"}
{"message_id":"t1_b","timestamp":1600000105000000,"message":"hello cy","message_type":"new_comment","parent_message_id":"t1_a","author":{"name":"dee","id":"t2_d"}}
{"message_id":"t1_a","message_type":"remove_comment"}
{"message_id":"t1_b","score":4,"message_type":"update_comment_score"}
{"author":{"name":"Eve"},"time_text":"00:00:12","message":"from a meeting","time_in_seconds":12}
`,
			want: []string{
				`f1|100||Ada Chef: "first" roles=10001`, `f2|101||Bo: "second" reply=f1`, `t1_a|t2_c||cy: "hello pan" deleted`, `t1_b|t2_d||dee: "hello cy" reply=t1_a`, `|eve|eve|Eve: "from a meeting"`,
			},
			report: Report{Read: 8, Kept: 5, Ignored: 3, Deleted: 1},
		},
		{
			name: "Kick: the first kind of events, with roles in place of badges",
			text: `{"event":"pusher_internal:subscription_succeeded","data":"{}","channel":"chatrooms.7"}
{"event":"pusher:pong","data":[]}
{"event":"App\\Events\\ChatMessageSentEvent","data":` + quoted(`{"message":{"id":"a","message":"soup [emoji:angel]","type":"","replied_to":null,"chatroom_id":"7","role":"Channel Host","created_at":1677379978,"action":null},"user":{"id":1,"username":"Ada","role":"Channel Host","isSuperAdmin":false,"verified":true,"follower_badges":[],"is_subscribed":false,"months_subscribed":0}}`) + `}
{"event":"App\\Events\\ChatMessageSentEvent","data":{"message":{"id":"b","message":"hot","type":"","chatroom_id":"7","role":null,"created_at":1677379979},"user":{"id":5,"username":"Bo","role":"Moderator","follower_badges":["OG","VIP"],"is_subscribed":true,"months_subscribed":3,"quantity_gifted":0}}}
{"event":"App\\Events\\ChatMessageSentEvent","data":` + quoted(`{"message":{"id":"c","message":null,"type":"info","role":"user","created_at":1677379980,"action":"subscribe"},"user":{"id":6,"username":"Cy","role":"user","isSuperAdmin":null,"is_subscribed":null,"months_subscribed":1}}`) + `}
{"event":"App\\Events\\ChatMessageDeletedEvent","data":` + quoted(`{"deletedMessage":{"id":"b","deleted_by":1,"chatroom_id":"7"}}`) + `}
{"event":"App\\Events\\PinnedMessageDeletedEvent","data":"[]","channel":"chatrooms.7.v2"}
`,
			want: []string{
				`a|1|ada|Ada: "soup angel" badges=broadcaster roles=10001 [kick angel angel="angel"]`,
				`b|5|bo|Bo: "hot" badges=moderator,og,vip,subscriber/3 roles=01110 deleted`,
			},
			report: Report{Read: 7, Kept: 2, Ignored: 5, Deleted: 1},
		},
		{
			name: "Kick: webhooks",
			text: `{"broadcaster":{"user_id":1,"username":"Chef"},"follower":{"user_id":5,"username":"Bo"}}
{"message_id":"a","replies_to":null,"broadcaster":{"user_id":1,"username":"Chef","identity":null},"sender":{"is_anonymous":false,"user_id":5,"username":"Bo B","is_verified":true,"channel_slug":"bo-b","identity":{"username_color":"#FF5733","badges":[{"text":"Moderator","type":"moderator"},{"text":"Subscriber","type":"subscriber","count":3}]}},"content":"soup [emote:1:KEKW]","emotes":[{"emote_id":"1","positions":[{"s":5,"e":18}]}],"created_at":"2025-04-01T18:00:01Z"}
{"message_id":"b","replies_to":{"message_id":"a","content":"soup","sender":{"user_id":5,"username":"Bo B","identity":null}},"broadcaster":{"user_id":1},"sender":{"user_id":6,"username":"Cy","channel_slug":"cy","identity":null},"content":"when","emotes":null,"created_at":"2025-04-01T18:00:02Z"}
{"broadcaster":{"user_id":1},"moderator":{"user_id":5,"username":"Bo B"},"banned_user":{"user_id":6,"username":"Cy","channel_slug":"cy"},"metadata":{"reason":"hungry","created_at":"2025-04-01T18:00:03Z","expires_at":null}}
{"message_id":"c","broadcaster":{"user_id":1},"sender":{"user_id":6,"username":"Cy","channel_slug":"cy","identity":null},"content":"back","created_at":"2025-04-01T18:00:04Z"}
`,
			want: []string{
				`a|5|bo-b|Bo B: "soup KEKW" badges=moderator,subscriber/3 roles=10110 [kick 1 KEKW="KEKW"]`, `b|6|cy|Cy: "when" reply=a deleted`, `c|6|cy|Cy: "back"`,
			},
			report: Report{Read: 5, Kept: 3, Ignored: 2, Deleted: 1},
		},
		{
			name: "Kick: events of both kinds, JSON within strings, numbers for ids",
			text: `{"event":"App\\Events\\ChatMessageSentEvent","data":` + quoted(`{"message":{"id":"a","message":"hi [emote:1:KEKW]","created_at":1743530401},"user":{"id":1,"username":"Ada"}}`) + `}
{"event":"App\\Events\\ChatMessageEvent","data":` + quoted(`{"id":"b","chatroom_id":7,"content":"yes","type":"reply","created_at":"2025-04-01T18:00:02+00:00","sender":{"id":5,"username":"Bo","slug":"bo","identity":{"badges":[{"type":"sub_gifter","count":5}]}},"metadata":`+quoted(`{"original_message":{"id":77}}`)+`}`) + `}
{"event":"App\\Events\\MessageDeletedEvent","data":` + quoted(`{"id":"z","message":{"id":"a"},"aiModerated":true}`) + `}
{"event":"App\\Events\\UserBannedEvent","data":` + quoted(`{"id":"y","user":{"id":5,"username":"Bo"},"banned_by":{"id":1}}`) + `}
{"event":"App\\Events\\PinnedMessageCreatedEvent","data":` + quoted(`{"message":{"id":"b","content":"yes"},"duration":20}`) + `}
`,
			want:   []string{`a|1|ada|Ada: "hi KEKW" [kick 1 KEKW="KEKW"] deleted`, `b|5|bo|Bo: "yes" badges=sub_gifter/5 roles=00000 reply=77 deleted`},
			report: Report{Read: 5, Kept: 2, Ignored: 3, Deleted: 2},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			log, err := Read(t.Context(), strings.NewReader(c.text), c.options)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range log.Messages {
				if len(m.ID) == 32 {
					m.ID = ""
				}
				_, rest, _ := strings.Cut(line(m), "s ") // behind the precision
				got = append(got, rest)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			report := log.Report
			report.Problems = nil
			if a, b := report.Summary(), c.report.Summary(); a != b || report.Unsorted != c.report.Unsorted {
				t.Errorf("report %s, %d unsorted: %v\nwant %s", a, report.Unsorted, log.Report.Problems, b)
			}
			var table bytes.Buffer
			if err := WriteParquet(&table, log.Messages); err != nil {
				t.Fatal(err)
			}
			back, err := ReadParquet(bytes.NewReader(table.Bytes()), int64(table.Len()))
			if err != nil {
				t.Fatal(err)
			}
			for i, m := range back {
				if a, b := line(m), line(log.Messages[i]); a != b {
					t.Errorf("from the table %s\nin the log %s", a, b)
				}
			}
		})
	}
}

// youTubeAdd is a line of yt-dlp's that adds an item.
func youTubeAdd(ms, item string) string {
	return `{"replayChatItemAction":{"actions":[{"addChatItemAction":{"item":{` + item + `}}}],"videoOffsetTimeMsec":"` + ms + `"}}`
}

// TestWaitingRoom checks where messages lie that have no offset but a negative stamp: by the wall clock if others tell what
// it counts from, else by the stamp.
func TestWaitingRoom(t *testing.T) {
	early := youTubeAdd("0", `"liveChatTextMessageRenderer":{"id":"w","timestampUsec":"1600000000300000","timestampText":{"simpleText":"-1:40"},"authorName":{"simpleText":"W"},"message":{"runs":[{"text":"soon?"}]}}`)
	stampOnly := strings.Replace(early, `"timestampUsec":"1600000000300000",`, "", 1)
	other := youTubeAdd("1000", `"liveChatTextMessageRenderer":{"id":"o","timestampUsec":"1600000101000000","authorName":{"simpleText":"O"},"message":{"runs":[{"text":"now"}]}}`)
	for _, c := range []struct {
		text      string
		at        time.Duration
		precision time.Duration
	}{
		{early + "\n" + other, -99700 * time.Millisecond, time.Millisecond},
		{stampOnly + "\n" + other, -100 * time.Second, time.Second},
	} {
		log, err := Read(t.Context(), strings.NewReader(c.text), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if m := log.Messages[0]; m.Time != c.at || m.Precision != c.precision {
			t.Errorf("%s: at %v ±%v, want %v ±%v", m.ID, m.Time, m.Precision, c.at, c.precision)
		}
	}
}
