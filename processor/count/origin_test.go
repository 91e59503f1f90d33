package count

import "testing"

func TestNetworks(t *testing.T) {
	same := func(a, b string, want bool) {
		t.Helper()
		if got := Network(a) == Network(b); got != want || Network(a) == 0 {
			t.Errorf("%s and %s are of one network: %v, want %v (%d)", a, b, got, want, Network(a))
		}
	}
	same("203.0.113.7", "203.0.200.1", true)
	same("203.0.113.7", "203.1.113.7", false)
	same("20.30.1.1", "203.0.1.1", false)
	same("2001:db8:1:2::1", "2001:db8:1:ffff::2", true)
	same("2001:db8:1:2::1", "2001:db8:2:2::1", false)
	for _, none := range []string{"", "AWS Internal", "203", "203.0", "2001:db8"} {
		if Network(none) != 0 {
			t.Errorf("%q has a network", none)
		}
	}
}

func TestClients(t *testing.T) {
	same := func(a, b string, want bool) {
		t.Helper()
		if got := client(a) == client(b); got != want || client(a) == 0 {
			t.Errorf("%q and %q are one program: %v, want %v", a, b, got, want)
		}
	}
	same("aws-cli/2.15.22 md/awscrt#0.19.19", "aws-cli/2.27.0", true)
	same("[aws-cli/1.2]", "aws-cli/2.27.0", true)
	same("Boto3/1.34 md/Botocore", "aws-cli/2.27.0 md/Botocore", false)
	same("AWS Internal", "AWS", true)
	same("s3.amazonaws.com", "ssm.amazonaws.com", false)
	for _, none := range []string{"", " ", "[", "/1"} {
		if client(none) != 0 {
			t.Errorf("%q is a program", none)
		}
	}
}
