package report

import "testing"

func TestBetween(t *testing.T) {
	list := []Baseline{{"uniform", 4.1744}, {"unigram", 3.3128}, {"bigram", 2.4526}, {"trigram", 1.9022}}
	for _, c := range []struct {
		nats float64
		list []Baseline
		want string
	}{
		{1.98, list, "between bigram 2.4526 and trigram 1.9022"},
		{1.9022, list, "between bigram 2.4526 and trigram 1.9022"},
		{4, list, "between uniform 4.1744 and unigram 3.3128"},
		{1.5, list, "below trigram 1.9022"},
		{4.1744, list, "not below uniform 4.1744"},
		{5, list, "not below uniform 4.1744"},
		{1.5, list[:3], "below bigram 2.4526"},
		{1.5, nil, "with nothing to compare"},
	} {
		if got := Between(c.nats, c.list); got != c.want {
			t.Errorf("%v: %q, want %q", c.nats, got, c.want)
		}
	}
}
