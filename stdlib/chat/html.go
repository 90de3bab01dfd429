package chat

import (
	"bytes"
	"errors"
	"strings"
	"time"

	"golang.org/x/net/html"

	"banter/internal/problem"
)

// TwitchDownloader's HTML: a page with one <pre class="comment-root"> a message, behind styles that may hold megabytes of
// pictures. Only the message at hand is taken apart.

var (
	commentOpen  = []byte(`<pre class="comment-root">`)
	commentClose = []byte(`</pre>`)
)

// sniffHTML looks whether a page is a chat log. The log's styles can push its first message far back, so a page whose
// beginning does not tell is read on.
func (p *pass) sniffHTML(head []byte) (reader, error) {
	start := bytes.ToLower(head[:min(len(head), 1024)])
	if !bytes.HasPrefix(start, []byte("<!doctype html")) && !bytes.Contains(start, []byte("<html")) && !bytes.Contains(start, commentOpen) {
		return nil, &problem.Error{Err: errors.New("this is XML or a fragment of a web page, not a chat log"), Fix: "download the chat itself, for example with TwitchDownloader as JSON"}
	}
	return readHTML, nil
}

func readHTML(p *pass) error {
	p.log.Source.Format = TwitchDownloaderHTML
	for {
		found, err := p.seek(commentOpen)
		if err != nil {
			return err
		}
		if !found {
			break
		}
		position, number := p.w.offset()-int64(len(commentOpen)), p.w.line()
		var body []byte
		for {
			if i := bytes.Index(p.w.rest(), commentClose); i >= 0 {
				body = p.w.rest()[:i]
				p.w.pos += i + len(commentClose)
				break
			}
			if p.w.cut() != nil {
				return nil
			}
			if p.w.eof {
				p.w.pos = len(p.w.buf)
				return p.malformed(position, number, errors.New("the file ends inside this message"))
			}
			if err := p.w.fill(min(2*len(p.w.rest())+1, p.w.limit+1)); err != nil {
				return err
			}
		}
		if err := p.htmlMessage(body, p.begin(position)); err != nil {
			if err := p.malformed(position, number, err); err != nil {
				return err
			}
			continue
		}
		if err := p.accept(); err != nil {
			return err
		}
	}
	if p.log.Report.Read == 0 {
		return &problem.Error{Err: errors.New("this is a web page, not a chat log"), Fix: "download the chat itself, for example with TwitchDownloader as JSON"}
	}
	return nil
}

// seek takes all up to and with mark.
func (p *pass) seek(mark []byte) (bool, error) {
	for {
		rest := p.w.rest()
		if i := bytes.Index(rest, mark); i >= 0 {
			p.w.pos += i + len(mark)
			return true, nil
		}
		p.w.pos += max(0, len(rest)-len(mark)+1)
		if p.w.eof {
			return false, nil
		}
		if err := p.w.more(); err != nil {
			return false, err
		}
	}
}

// htmlMessage fills m from the inside of one message:
//
//	[0:00:05] <img badge...> <a href="https://www.twitch.tv/login"><span class="comment-author">Name</span></a>
//	<span class="comment-message">: text <img class="emote-image first-25" title="Kappa"><div class="invis-text">Kappa</div> </span>
func (p *pass) htmlMessage(body []byte, m *Message) error {
	z := html.NewTokenizer(bytes.NewReader(body))
	var text strings.Builder
	var name []byte
	var emote Emote    // of the picture just seen
	login := ""        // from the link
	stamped := false   // the time was read
	inAuthor := false  // within comment-author
	inMessage := false // within comment-message
	inHidden := false  // within invis-text
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		switch kind {
		case html.StartTagToken, html.SelfClosingTagToken:
			tag, more := z.TagName()
			name := string(tag)
			attrs := map[string]string{}
			for n := 0; more && n < 32; n++ {
				var k, v []byte
				k, v, more = z.TagAttr()
				attrs[string(k)] = string(v)
			}
			switch {
			case name == "a":
				login = strings.ToLower(attrs["href"][strings.LastIndexByte(attrs["href"], '/')+1:])
			case name == "span" && attrs["class"] == "comment-author":
				inAuthor = true
			case name == "span" && attrs["class"] == "comment-message":
				inMessage = true
			case name == "div" && attrs["class"] == "invis-text":
				inHidden = true
			case name == "img" && inMessage:
				emote = htmlEmote(attrs)
			case name == "img" && !inAuthor:
				m.Author.badge(plainText([]byte(attrs["title"])), badgeVersion(attrs))
			}
		case html.EndTagToken:
			tag, _ := z.TagName()
			switch string(tag) {
			case "div":
				inHidden = false
			case "span":
				inAuthor = false
			}
		case html.TextToken:
			b := z.Text()
			switch {
			case !stamped:
				stamp := bytes.TrimSpace(b)
				if len(stamp) == 0 {
					continue
				}
				l, ok := parseStamp(append(bytes.TrimRight(stamp, " "), ' '))
				if !ok {
					return errNoStamp
				}
				if m.Sent = l.sent; l.sent.IsZero() {
					m.Offset = p.unwrap(l.offset)
				} else {
					m.Origin = FromSent
				}
				if l.fine {
					m.Precision = time.Millisecond
				}
				stamped = true
			case inAuthor:
				name = append(name, b...)
			case inHidden && inMessage:
				word := plainText(b)
				start := text.Len()
				text.WriteString(word)
				if emote.Provider != "" && word != "" {
					emote.Name, emote.Start, emote.End = word, start, start+len(word)
					m.Emotes = append(m.Emotes, emote)
					emote = Emote{}
				}
			case inMessage:
				s := plainText(b)
				if text.Len() == 0 {
					s = strings.TrimPrefix(s, ": ")
				}
				text.WriteString(s)
			}
		}
	}
	switch {
	case !stamped:
		return errNoStamp
	case len(name) == 0:
		return errNoAuthor
	}
	p.setName(&m.Author, name)
	if login != "" {
		m.Author.Login = p.names.string([]byte(login))
		m.Author.ID = m.Author.Login
	}
	m.Text = trimText(text.String())
	return nil
}

// htmlEmote reads what a picture within a text says of its emote.
func htmlEmote(attrs map[string]string) Emote {
	e := Emote{Provider: "third-party"}
	for class := range strings.FieldsSeq(attrs["class"]) {
		if id, ok := strings.CutPrefix(class, "first-"); ok {
			return Emote{ID: id, Provider: "twitch"}
		}
		if id, ok := strings.CutPrefix(class, "third-"); ok {
			return Emote{ID: id, Provider: thirdParty(id, "")}
		}
	}
	if _, rest, ok := strings.Cut(attrs["src"], "/emoticons/v2/"); ok {
		id, _, _ := strings.Cut(rest, "/")
		return Emote{ID: plainText([]byte(id)), Provider: "twitch"}
	}
	e.Provider = thirdParty("", attrs["src"])
	return e
}

// badgeVersion finds a badge's version in its class, badge-NAME-VERSION.
func badgeVersion(attrs map[string]string) string {
	for class := range strings.FieldsSeq(attrs["class"]) {
		if v, ok := strings.CutPrefix(class, "badge-"+attrs["title"]+"-"); ok {
			return plainText([]byte(v))
		}
	}
	return ""
}
