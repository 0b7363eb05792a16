package node

import "testing"

func TestControl(t *testing.T) {
	for text, want := range map[string]Control{
		`{"quire":{"word":"alive"}}`:                                                                      {Word: Alive},
		`{"quire":{"word":"began","host":"gpu1","pid":4711}}`:                                             {Word: Began, Host: "gpu1", PID: 4711},
		`{"quire":{"word":"ended","code":1,"class":"diverged","message":"the loss is NaN","step":12}}`:    {Word: Ended, Code: 1, Class: ClassDiverged, Message: "the loss is NaN", Step: 12},
		`{"quire":{"word":"ended"}}`:                                                                      {Word: Ended},
		`{"quire":{"word":"ended","code":75,"message":"train: interrupted, everything is saved; start"}}`: {Word: Ended, Code: 75, Message: "train: interrupted, everything is saved; start"},
	} {
		if got, ok := ParseControl([]byte(text)); !ok || got != want {
			t.Errorf("%s is %+v, %v; want %+v", text, got, ok, want)
		}
		if got := string(want.line()); got != text+"\n" {
			t.Errorf("%+v is written as %s, want %s", want, got, text)
		}
	}
	for _, text := range []string{"", "{}", `{"run":"work/run","step":3}`, `{"quire":{}}`, `{"quire":{"word":"alive"`, `{"quire":{"word":"alive"},"run":"x"}`,
		` {"quire":{"word":"alive"}}`, "train: {\"quire\":{\"word\":\"alive\"}}"} {
		if c, ok := ParseControl([]byte(text)); ok {
			t.Errorf("%q is taken for %+v", text, c)
		}
	}
}
