package chat_test

import (
	"context"
	"fmt"
	"strings"

	"banter/stdlib/chat"
)

// A log in plain text knows of no emotes. A list of the channel's says which words are.
func ExampleRead_emotes() {
	const log = "[0:00:05] Lemon: catJAM that beat catJAM\n[0:00:09] Lime: a well-known catJAMmer EZ\n"
	var emotes []chat.EmoteCode
	for _, code := range strings.Fields("catJAM EZ Clap") {
		emotes = append(emotes, chat.EmoteCode{Name: code, Provider: "7tv"})
	}
	read, err := chat.Read(context.Background(), strings.NewReader(log), chat.Options{Emotes: emotes})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range read.Messages {
		fmt.Println(m.Time, m.Author.Name)
		for _, e := range m.Emotes {
			fmt.Printf("  %s of %s at bytes %d to %d\n", e.Name, e.Provider, e.Start, e.End)
		}
	}
	// Output:
	// 5s Lemon
	//   catJAM of 7tv at bytes 0 to 6
	//   catJAM of 7tv at bytes 17 to 23
	// 9s Lime
	//   EZ of 7tv at bytes 23 to 25
}
