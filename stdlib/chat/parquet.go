package chat

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/parquet-go/parquet-go"

	"banter/internal/parquetfile"
	"banter/internal/problem"
)

// messageRow is a Message as a row of a Parquet table. Stream times are milliseconds; sent is the platform's wall clock.
type messageRow struct {
	ID          string     `parquet:"id"`
	TimeMS      int64      `parquet:"time_ms,delta"`
	PrecisionMS int64      `parquet:"precision_ms,dict"`
	Origin      string     `parquet:"time_origin,dict"`
	SentNS      int64      `parquet:"sent,optional,timestamp(nanosecond)"`
	OffsetMS    int64      `parquet:"offset_ms,delta"`
	AuthorID    string     `parquet:"author_id,dict"`
	AuthorLogin string     `parquet:"author_login,dict"`
	AuthorName  string     `parquet:"author_name,dict"`
	Badges      []string   `parquet:"author_badges,list"`
	Roles       int32      `parquet:"author_roles,dict"`
	Text        string     `parquet:"text"`
	Emotes      []emoteRow `parquet:"emotes,list"`
	ReplyTo     string     `parquet:"reply_to,optional"`
	Room        string     `parquet:"room,optional,dict"`
	Notice      string     `parquet:"notice,optional,dict"`
	Bits        int64      `parquet:"bits"`
	Action      bool       `parquet:"action"`
	Deleted     bool       `parquet:"deleted"`
	Position    int64      `parquet:"position,delta"`
}

type emoteRow struct {
	ID       string `parquet:"id,dict"`
	Name     string `parquet:"name,dict"`
	Provider string `parquet:"provider,dict"`
	Start    int32  `parquet:"start"`
	End      int32  `parquet:"end"`
}

// parquetRows is how many rows go through memory at a time.
const parquetRows = 1024

// WriteParquet writes messages as one Parquet table. The same messages give the same bytes.
func WriteParquet(w io.Writer, messages []Message) error {
	pw := parquet.NewGenericWriter[messageRow](w,
		parquet.Compression(&parquet.Zstd), parquet.CreatedBy("banter", "1", "chat"), parquet.MaxRowsPerRowGroup(1<<18))
	rows := make([]messageRow, 0, parquetRows)
	for len(messages) > 0 {
		n := min(len(messages), parquetRows)
		rows = rows[:0]
		for i := range messages[:n] {
			rows = append(rows, toRow(&messages[i]))
		}
		if _, err := pw.Write(rows); err != nil {
			return &problem.Error{Op: "write chat table", Err: err}
		}
		messages = messages[n:]
	}
	if err := pw.Close(); err != nil {
		return &problem.Error{Op: "write chat table", Err: err}
	}
	return nil
}

// ReadParquet reads the table that WriteParquet wrote.
func ReadParquet(r io.ReaderAt, size int64) (messages []Message, err error) {
	broken := func(err error) error {
		return &problem.Error{Op: "read chat table", Err: err, Fix: "make the table again: it is damaged or not a table of messages"}
	}
	defer func() { // the library panics on some damaged files
		if p := recover(); p != nil {
			messages, err = nil, broken(fmt.Errorf("damaged Parquet data: %v", p))
		}
	}()
	f, err := parquetfile.Open(r, size)
	if err != nil {
		return nil, broken(err)
	}
	want := parquet.SchemaOf(messageRow{})
	for _, column := range want.Columns() {
		if _, ok := f.Schema().Lookup(column...); !ok {
			return nil, broken(fmt.Errorf("column %v is missing", column))
		}
	}
	pr := parquet.NewGenericReader[messageRow](f)
	defer pr.Close()
	rows := make([]messageRow, parquetRows)
	for {
		n, err := pr.Read(rows)
		for i := range rows[:n] {
			m, err := fromRow(&rows[i])
			if err != nil {
				return nil, broken(fmt.Errorf("row %d: %w", len(messages), err))
			}
			messages = append(messages, m)
		}
		clear(rows)
		if errors.Is(err, io.EOF) {
			return messages, nil
		}
		if err != nil {
			return nil, broken(err)
		}
		if n == 0 {
			return nil, broken(io.ErrNoProgress)
		}
	}
}

func toRow(m *Message) messageRow {
	r := messageRow{
		ID: m.ID, TimeMS: m.Time.Milliseconds(), PrecisionMS: m.Precision.Milliseconds(), Origin: m.Origin.String(), OffsetMS: m.Offset.Milliseconds(),
		AuthorID: m.Author.ID, AuthorLogin: m.Author.Login, AuthorName: m.Author.Name, Badges: m.Author.Badges, Roles: int32(m.Author.Roles),
		Text: m.Text, ReplyTo: m.ReplyTo, Room: m.Room, Notice: m.Notice, Bits: int64(m.Bits), Action: m.Action, Deleted: m.Deleted, Position: m.Position,
	}
	if !m.Sent.IsZero() {
		r.SentNS = m.Sent.UnixNano()
	}
	for _, e := range m.Emotes {
		r.Emotes = append(r.Emotes, emoteRow{ID: e.ID, Name: e.Name, Provider: e.Provider, Start: int32(e.Start), End: int32(e.End)})
	}
	return r
}

func fromRow(r *messageRow) (Message, error) {
	m := Message{
		ID: r.ID, Time: time.Duration(r.TimeMS) * time.Millisecond, Precision: time.Duration(r.PrecisionMS) * time.Millisecond,
		Offset: time.Duration(r.OffsetMS) * time.Millisecond,
		Author: Author{ID: r.AuthorID, Login: r.AuthorLogin, Name: r.AuthorName, Roles: Roles(r.Roles)},
		Text:   r.Text, ReplyTo: r.ReplyTo, Room: r.Room, Notice: r.Notice, Bits: int(r.Bits), Action: r.Action, Deleted: r.Deleted, Position: r.Position,
	}
	if len(r.Badges) > 0 {
		m.Author.Badges = append([]string(nil), r.Badges...)
	}
	origin := FromOffset
	for origin.String() != r.Origin {
		if origin++; origin > FromSent {
			return m, fmt.Errorf("time_origin is %.40q", r.Origin)
		}
	}
	m.Origin = origin
	if r.SentNS != 0 {
		m.Sent = time.Unix(0, r.SentNS).UTC()
	}
	for _, e := range r.Emotes {
		if e.Start < 0 || e.End <= e.Start || int(e.End) > len(m.Text) {
			return m, fmt.Errorf("emote %.40q lies outside its text", e.Name)
		}
		m.Emotes = append(m.Emotes, Emote{ID: e.ID, Name: e.Name, Provider: e.Provider, Start: int(e.Start), End: int(e.End)})
	}
	return m, nil
}
