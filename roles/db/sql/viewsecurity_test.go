package sql

import "testing"

// The tables of a view are checked for its definer, or with SQL SECURITY INVOKER for whoever
// reads it; the caller needs no more than the view.
func TestViewsCheckTheirDefiner(t *testing.T) {
	s := newServer(t)
	root := s.test()
	root.must("CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 10), (2, 20)", "CREATE DATABASE far", "CREATE TABLE far.f (id INT PRIMARY KEY)", "INSERT INTO far.f VALUES (7)",
		"CREATE USER maker", "CREATE USER u", "GRANT SELECT ON test.t TO maker", "GRANT CREATE VIEW ON test.* TO maker", "GRANT SELECT ON far.f TO maker")
	maker := s.login("maker", "%", "test")
	maker.must("CREATE VIEW d AS SELECT id, v FROM t WHERE id < 3",
		"CREATE OR REPLACE ALGORITHM = MERGE VIEW listed (a, b) AS SELECT id, v FROM test.t",
		"CREATE SQL SECURITY INVOKER VIEW i AS SELECT id, v FROM t",
		"CREATE VIEW joined AS WITH c AS (SELECT id FROM t) SELECT c.id, x.v FROM c JOIN (SELECT * FROM t) x ON x.id = c.id WHERE EXISTS (SELECT 1 FROM t y WHERE y.id = c.id)",
		"/*!50001 CREATE ALGORITHM=UNDEFINED */ /*!50013 SQL SECURITY DEFINER */ /*!50001 VIEW dumped AS SELECT id, v FROM t */",
		"CREATE VIEW across AS SELECT id FROM far.f")
	root.must("GRANT SELECT ON test.d TO maker", "GRANT SELECT ON test.i TO maker")
	maker.must("CREATE VIEW over_d AS SELECT v FROM d", "CREATE VIEW over_i AS SELECT v FROM i", "CREATE SQL SECURITY INVOKER VIEW asks_d AS SELECT v FROM d")
	for _, v := range []string{"d", "listed", "i", "joined", "dumped", "across", "over_d", "over_i", "asks_d"} {
		root.must("GRANT SELECT ON test." + v + " TO u")
	}
	u := s.login("u", "%", "test")
	clients := map[string]*client{"u": u, "root": root, "maker": maker}
	s.play(clients,
		step{who: "u", query: "SELECT v FROM t", fails: 1142},
		step{who: "u", query: "SELECT * FROM far.f", fails: 1044},
		step{who: "u", query: "SELECT v FROM d WHERE id = 2", rows: []string{"20"}},
		step{who: "u", query: "SELECT b FROM listed WHERE a = 2", rows: []string{"20"}},
		step{who: "u", query: "SELECT v FROM joined WHERE id = 2", rows: []string{"20"}},
		step{who: "u", query: "SELECT v FROM dumped WHERE id = 2", rows: []string{"20"}},
		step{who: "u", query: "SELECT * FROM across", rows: []string{"7"}},
		step{who: "u", query: "SELECT x.v FROM d x JOIN joined y ON y.id = x.id ORDER BY 1", rows: []string{"10", "20"}},
		step{who: "u", query: "SELECT v FROM i", fails: 1356},
		step{who: "maker", query: "SELECT v FROM i WHERE id = 1", rows: []string{"10"}},
		// Views over views: the inner is asked for by the outer's definer.
		step{who: "u", query: "SELECT MAX(v) FROM over_d", rows: []string{"20"}},
		step{who: "u", query: "SELECT MAX(v) FROM over_i", rows: []string{"20"}},
		step{who: "u", query: "SELECT MAX(v) FROM asks_d", rows: []string{"20"}},
		step{who: "u", query: "SELECT MAX(a.v) FROM over_i a JOIN i b", fails: 1356},
		step{who: "u", query: "SELECT v FROM over_i UNION SELECT v FROM t", fails: 1142},
		step{who: "u", query: "SELECT (SELECT MAX(v) FROM over_i), (SELECT MAX(v) FROM t)", fails: 1142},
		step{who: "u", query: "DELETE FROM d", fails: 1142},
		step{who: "u", query: "INSERT INTO d VALUES (3, 30)", fails: 1142},
		step{who: "u", query: "UPDATE d SET v = 1", fails: 1142},
		step{who: "u", query: "CREATE VIEW mine AS SELECT v FROM d", fails: 1142},
		step{who: "root", query: "REVOKE SELECT ON test.d FROM u"},
		step{who: "u", query: "SELECT v FROM d", fails: 1142},
		step{who: "u", query: "SELECT v FROM asks_d", fails: 1356},
		step{who: "u", query: "SELECT MAX(v) FROM over_d", rows: []string{"20"}},
		step{who: "root", query: "GRANT SELECT ON test.d TO u"},
	)
	// Prepared, by either protocol; and what the definer loses counts at once.
	st, err := u.Prepare(ctxBackground, "SELECT v FROM d WHERE id = 2")
	if err != nil {
		t.Fatal(err)
	}
	u.must("PREPARE p FROM 'SELECT v FROM d WHERE id = 2'")
	root.must("CREATE ROLE reader", "GRANT SELECT ON test.* TO reader")
	for _, change := range []struct {
		query string
		fails bool
	}{
		{"REVOKE SELECT ON test.t FROM maker", true}, {"GRANT reader TO maker", false}, {"REVOKE reader FROM maker", true},
		{"GRANT SELECT ON test.t TO maker", false},
	} {
		root.must(change.query)
		out := &collected{}
		err := st.(*statement).execute(ctxBackground, nil, out)
		if (err != nil) != change.fails || err == nil && (len(out.rows) != 1 || out.rows[0] != "20") {
			t.Errorf("after %s: %v %q", change.query, err, out.rows)
		}
		if change.fails {
			u.fails(1356, "EXECUTE p", "View 'test.d' references invalid table(s)")
			u.fails(1356, "SELECT v FROM d", "View 'test.d' references invalid table(s)")
			u.fails(1356, "SELECT v FROM over_d", "View 'test.over_d' references invalid table(s)")
			continue
		}
		u.want("EXECUTE p", "20")
	}
	// The view outlives a restart, and its definer does not.
	s.restart()
	root = s.test()
	u = s.login("u", "%", "test")
	u.want("SELECT v FROM d WHERE id = 2", "20")
	root.want("SELECT table_name, definer, security_type FROM information_schema.views WHERE table_name IN ('d', 'i') ORDER BY 1", "d|maker@%|DEFINER", "i|maker@%|INVOKER")
	root.must("DROP USER maker")
	u.fails(1449, "SELECT v FROM d", "('maker'@'%') does not exist")
	root.want("SELECT v FROM d WHERE id = 2", "20") // administrators may read the table anyway
	root.want("SELECT v FROM i WHERE id = 2", "20")
}

// A definer that is named is the one that counts, in the database of the view, wherever its
// reader is.
func TestViewsOfANamedDefiner(t *testing.T) {
	s := newServer(t)
	root := s.test()
	root.must("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)", "CREATE USER low", "CREATE USER u",
		"CREATE DATABASE other", "CREATE TABLE other.t (id INT PRIMARY KEY)", "INSERT INTO other.t VALUES (2)",
		"CREATE DEFINER = low@'%' SQL SECURITY DEFINER VIEW weak AS SELECT id FROM t", "CREATE VIEW strong AS SELECT id FROM t",
		"CREATE SQL SECURITY INVOKER VIEW asks AS SELECT id FROM t",
		"GRANT SELECT ON test.weak TO u", "GRANT SELECT ON test.strong TO u", "GRANT SELECT ON test.asks TO u", "GRANT SELECT ON other.* TO u")
	root.fails(1356, "SELECT * FROM weak")
	for _, database := range []string{"test", "other", ""} {
		u := s.login("u", "%", database)
		u.want("SELECT * FROM test.strong", "1")
		u.fails(1356, "SELECT * FROM test.weak")
		u.fails(1356, "SELECT * FROM test.asks")
	}
	root.must("GRANT SELECT ON test.t TO low")
	root.want("SELECT * FROM weak", "1")
	// A definer has its roles, whatever it has chosen as a client.
	root.must("CREATE ROLE reader", "GRANT SELECT ON test.t TO reader", "GRANT reader TO low", "REVOKE SELECT ON test.t FROM low", "GRANT SELECT ON test.weak TO low")
	low := s.login("low", "%", "test")
	low.must("SET ROLE NONE")
	low.want("SELECT * FROM weak", "1")
	low.fails(1142, "SELECT * FROM t")
	// A view within a routine is checked for its definer, not the routine's.
	root.must("CREATE DEFINER = u@'%' PROCEDURE p() SELECT * FROM test.strong", "GRANT EXECUTE ON test.* TO low")
	low.want("CALL p()", "1", "--")
}

// A view's definer calls its functions, found in the view's database.
func TestViewsCallFunctionsForTheirDefiner(t *testing.T) {
	s := newServer(t)
	root := s.test()
	root.must("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)", "CREATE USER maker", "CREATE USER u", "GRANT ALL ON test.* TO maker",
		"CREATE FUNCTION asks(n INT) RETURNS INT READS SQL DATA SQL SECURITY INVOKER RETURN n + (SELECT COUNT(*) FROM t)",
		"CREATE FUNCTION plain(n INT) RETURNS INT DETERMINISTIC RETURN n")
	maker := s.login("maker", "%", "test")
	maker.must("CREATE VIEW called AS SELECT id, asks(plain(id)) + SUM(plain(0)) AS n FROM t GROUP BY id",
		"CREATE SQL SECURITY INVOKER VIEW invokes AS SELECT plain(id) AS n FROM t")
	root.must("GRANT SELECT ON test.called TO u", "GRANT SELECT ON test.invokes TO u", "GRANT SELECT ON test.t TO u", "CREATE DATABASE other", "GRANT SELECT ON other.* TO u")
	for _, database := range []string{"test", "other"} {
		u := s.login("u", "%", database)
		u.want("SELECT id, n FROM test.called ORDER BY id", "1|3", "2|4")
		u.fails(1370, "SELECT n FROM test.invokes")
		u.fails(1370, "SELECT n, test.plain(n) FROM test.called")
		u.fails(1370, "SELECT test.asks(1), n FROM test.called")
		u.fails(1370, "SELECT n FROM test.called WHERE test.plain(id) = 1")
		u.want("SELECT id, n FROM test.called WHERE id = 1", "1|3")
	}
	u := s.login("u", "%", "test")
	root.must("REVOKE ALL ON test.* FROM maker", "GRANT SELECT ON test.t TO maker")
	u.fails(1370, "SELECT n FROM called", "'maker'@'%'")
	root.must("DROP USER maker")
	u.fails(1449, "SELECT n FROM called")
}

// What a routine makes is its definer's, on replicas too.
func TestViewsOfRoutinesOnReplicas(t *testing.T) {
	a := newServer(t)
	root := a.test()
	root.must("CREATE TABLE t (id INT PRIMARY KEY)", "CREATE USER maker", "CREATE USER u", "GRANT ALL ON test.* TO maker", "GRANT EXECUTE ON test.* TO u",
		"CREATE DEFINER = maker@'%' PROCEDURE makes() CREATE VIEW made AS SELECT id FROM t", "CREATE VIEW whole AS SELECT id FROM t",
		"RENAME TABLE whole TO renamed")
	a.login("u", "%", "test").must("CALL makes()")
	b := blankServer(t, nil)
	b.mustFollow(a)
	b.sameAs(a)
	for _, s := range []*server{a, b} {
		s.test().want("SELECT table_name, definer FROM information_schema.views ORDER BY 1", "made|maker@%", "renamed|root@%")
	}
}
