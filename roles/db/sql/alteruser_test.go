package sql

import (
	"testing"

	"stack/roles/db/wire"
)

// ALTER USER without a password says what connections must be like and whether the account is locked; resource limits
// of 0, which are none, are taken.
func TestAlterUser(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE USER u, v@localhost, plain", "CREATE USER w REQUIRE NONE WITH MAX_QUERIES_PER_HOUR 0 MAX_USER_CONNECTIONS 0",
		"ALTER USER u, v@localhost REQUIRE SSL WITH MAX_QUERIES_PER_HOUR 0 MAX_CONNECTIONS_PER_HOUR 0", "ALTER USER w ACCOUNT LOCK",
		"ALTER USER IF EXISTS nobody, v@localhost REQUIRE SUBJECT '/CN=v' AND ISSUER '/CN=i' ACCOUNT LOCK", "ALTER USER v@localhost ACCOUNT UNLOCK")
	account := func(user string) wire.Account {
		t.Helper()
		list, err := s.engine.Accounts(ctxBackground, user)
		if err != nil || len(list) != 1 {
			t.Fatal(user, list, err)
		}
		return list[0]
	}
	check := func() {
		t.Helper()
		if u := account("u"); u.Require != (wire.Require{SSL: true}) || u.Locked {
			t.Errorf("u: %+v", u)
		}
		if v := account("v"); v.Require != (wire.Require{SSL: true, X509: true, Subject: "/CN=v", Issuer: "/CN=i"}) || v.Locked {
			t.Errorf("v: %+v", v)
		}
		if w := account("w"); w.Require != (wire.Require{}) || !w.Locked {
			t.Errorf("w: %+v", w)
		}
	}
	check()
	c.fails(1064, "ALTER USER u REQUIRE NONE, nobody")
	c.fails(1396, "ALTER USER u, nobody REQUIRE NONE")
	c.fails(1235, "ALTER USER u WITH MAX_USER_CONNECTIONS 5")
	c.fails(1235, "CREATE USER x WITH MAX_USER_CONNECTIONS 5")
	s.login("plain", "%", "").fails(1227, "ALTER USER u REQUIRE NONE")
	s.restart()
	check()
	s.root().must("ALTER USER u REQUIRE NONE", "ALTER USER u IDENTIFIED BY 'x'")
	if u := account("u"); u.Require != (wire.Require{}) {
		t.Errorf("u: %+v", u)
	}
}

// An account may set its own password without a privilege, and no other's: the same name at another host is another account.
func TestAlterUserOfAnotherHost(t *testing.T) {
	s := newServer(t)
	s.root().must("CREATE USER app@localhost IDENTIFIED BY 'x', app@'10.%', ''@'10.%', ''@localhost", "CREATE USER keeper", "GRANT CREATE USER ON *.* TO keeper")
	hashOf := func(user string) string {
		t.Helper()
		list, err := s.engine.Accounts(ctxBackground, user)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			if a.User == user && a.Host == "localhost" {
				return a.AuthString
			}
		}
		t.Fatalf("there is no account %s@localhost", user)
		return ""
	}
	named, anonymous := hashOf("app"), hashOf("")
	app := s.login("app", "10.%", "")
	app.fails(1227, "ALTER USER app@localhost IDENTIFIED BY 'y'")
	app.fails(1227, "ALTER USER IF EXISTS app IDENTIFIED BY 'y'")
	app.must(`PREPARE p FROM "ALTER USER app@localhost IDENTIFIED BY 'y'"`)
	app.fails(1227, "EXECUTE p")
	s.login("", "10.%", "").fails(1227, "ALTER USER ''@localhost IDENTIFIED BY 'y'")
	if hashOf("app") != named || hashOf("") != anonymous {
		t.Error("an account has set the password of one at another host")
	}
	app.must("ALTER USER app@'10.%' IDENTIFIED BY 'y'")
	s.login("keeper", "%", "").must("ALTER USER app@localhost IDENTIFIED BY 'y'")
	if hashOf("app") == named {
		t.Error("an account with CREATE USER has not set the password of another")
	}
}

// REVOKE ALL PRIVILEGES is REVOKE ALL.
func TestRevokeAllPrivileges(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY)", "CREATE USER u", "GRANT ALL PRIVILEGES ON test.* TO u", "GRANT SELECT ON test.t TO u", "GRANT SELECT, INSERT ON *.* TO u",
		"REVOKE ALL PRIVILEGES ON test.t FROM u", "REVOKE ALL  PRIVILEGES ON test.* FROM u", "revoke if exists all privileges on *.* from u")
	c.want("SHOW GRANTS FOR u", "GRANT USAGE ON *.* TO `u`@`%`")
	c.must("REVOKE ALL PRIVILEGES, GRANT OPTION FROM u")
}
