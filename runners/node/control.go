package node

import (
	"bytes"
	"encoding/json"
)

// A Control is a line of a job's standard output that is not its result:
//
//	{"quire":{"word":"began","host":"gpu1","pid":4711}}
//
// A job says that it began, that it is alive, that it stops, as it was told to, and how it
// ended. Such lines are among the lines of a Console, and not for people.
type Control struct {
	Word Word `json:"word"`

	Host string `json:"host,omitempty"` // of began
	PID  int    `json:"pid,omitempty"`

	Code    int    `json:"code,omitempty"` // of ended: the exit code, and of a failure its class and message
	Class   string `json:"class,omitempty"`
	Message string `json:"message,omitempty"`
	Step    int64  `json:"step,omitempty"` // with ClassDiverged
}

// A Word is what a Control says.
type Word string

// Words.
const (
	Began    Word = "began"
	Alive    Word = "alive" // every alivePause
	Stopping Word = "stopping"
	Ended    Word = "ended"
)

// controlKey is the key of the JSON object of a control line. No result has it.
const controlKey = "quire"

// line is the line of a Control, with its end.
func (c Control) line() []byte {
	data, err := json.Marshal(map[string]Control{controlKey: c})
	if err != nil {
		panic(err) // strings and numbers
	}
	return append(data, '\n')
}

// ParseControl reads a line of a job's standard output. ok is false for other lines.
func ParseControl(line []byte) (c Control, ok bool) {
	if !bytes.HasPrefix(line, []byte(`{"`+controlKey+`":{`)) {
		return c, false
	}
	var m map[string]Control
	if json.Unmarshal(line, &m) != nil || len(m) != 1 {
		return Control{}, false
	}
	c = m[controlKey]
	return c, c.Word != ""
}
