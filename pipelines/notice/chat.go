package notice

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// textChars is the length of a text for people. Discord takes 2000 characters, and
// refuses a message with more.
const textChars = 1900

// sentence returns the news for a person, in plain text that no chat takes for a command.
func (n *News) sentence() string {
	round := ""
	if n.Round != "" {
		round = " (round " + n.Round + ")"
	}
	var what string
	switch n.Event {
	case Promoted:
		what = "promoted a new model"
		if n.Nats != nil {
			what += fmt.Sprintf(", %.4f nats a character", *n.Nats)
		}
	case Refused:
		what = "the gate refused the model"
	case Failed:
		what = "a round failed"
		if n.Stage != "" {
			what += " in " + n.Stage
		}
	case Silent:
		what = fmt.Sprintf("no success for %d slots; the last one was at %s", n.Slots, n.Since)
		if n.Since == "" {
			what = fmt.Sprintf("no success for %d slots, nor before", n.Slots)
		}
	case Again:
		what = "success again, the first since " + cmp.Or(n.Since, "the beginning")
	default:
		what = n.Event
	}
	text := n.Experiment + ": " + what + round
	if n.Message != "" {
		text += ": " + n.Message
	}
	return short(plain(text))
}

// plain keeps a chat from calling its members, as at @all, <!channel> and <users/all>: a
// space of no width stands behind what begins such a call.
func plain(text string) string {
	return strings.NewReplacer("@", "@\u200b", "<", "<\u200b").Replace(text)
}

// short cuts a text to textChars characters, and says so.
func short(text string) string {
	if utf8.RuneCountInString(text) <= textChars {
		return text
	}
	return string([]rune(text)[:textChars-1]) + "…"
}

// posted is what a webhook is sent. Programs read the keys of News. Of the others each
// chat takes the one that it knows: text is Slack's, Mattermost's and Rocket.Chat's, content
// Discord's, which calls nobody.
type posted struct {
	*News
	Content  string              `json:"content"`
	Mentions map[string][]string `json:"allowed_mentions"`
}

// body returns the body of a message to a webhook. Two chats take no unknown key, or only
// a card; they are told by their hosts.
func body(webhook string, n *News) ([]byte, error) {
	host := ""
	if u, err := url.Parse(webhook); err == nil {
		host = strings.ToLower(u.Hostname())
	}
	switch {
	case host == "chat.googleapis.com":
		return json.Marshal(map[string]string{"text": n.Text})
	case within(host, "webhook.office.com", "logic.azure.com", "powerplatform.com"):
		block := map[string]any{"type": "TextBlock", "text": n.Text, "wrap": true}
		card := map[string]any{"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
			"body": []any{block}}
		return json.Marshal(map[string]any{"type": "message", "attachments": []any{
			map[string]any{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}}})
	}
	return json.Marshal(posted{n, n.Text, map[string][]string{"parse": {}}})
}

// within reports whether a host is in one of the domains.
func within(host string, domains ...string) bool {
	for _, d := range domains {
		if host == d || strings.HasSuffix(host, "."+d) {
			return true
		}
	}
	return false
}
