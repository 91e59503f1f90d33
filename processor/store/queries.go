package store

// The queries of readers, and those that delete. A test holds that each of them finds its rows by an index.
const (
	sqlOffsets = `SELECT partition, next FROM offsets WHERE topic = ?`

	sqlExtent = `SELECT (SELECT size FROM ticks ORDER BY size LIMIT 1),
		(SELECT start FROM ticks WHERE size = (SELECT size FROM ticks ORDER BY size LIMIT 1) ORDER BY start LIMIT 1),
		(SELECT start FROM ticks WHERE size = (SELECT size FROM ticks ORDER BY size LIMIT 1) ORDER BY start DESC LIMIT 1)`
	sqlTicks  = `SELECT (start - ?2) / ?4, SUM(calls) FROM ticks WHERE size = ?1 AND start >= ?2 AND start < ?3 GROUP BY 1`
	sqlMarks  = `SELECT start, data FROM marks WHERE start >= ? AND start < ? ORDER BY start`
	sqlEntity = `SELECT e.scope, k.text, p.text FROM entities e JOIN names k ON k.id = e.key JOIN names p ON p.id =
		e.principal
		WHERE e.id = ?`
	sqlEntityID = `SELECT e.id FROM entities e JOIN names k ON k.id = e.key JOIN names p ON p.id = e.principal
		WHERE k.text = ?2 AND p.text = ?3 AND e.scope = ?1`

	sqlAnomaly = `SELECT n, entity, key, principal, start, record FROM anomalies WHERE id = ?`
	sqlNewest  = `SELECT n, record FROM anomalies WHERE start >= ?1 AND start < ?2 AND severity >= ?3 AND (?4 = '' OR
		kind = ?4)
		AND (start < ?5 OR start = ?5 AND n < ?6) ORDER BY start DESC, n DESC LIMIT ?7`
	sqlOfKey = `SELECT n, record FROM anomalies WHERE key = ?1 AND start >= ?2 AND start < ?3 ORDER BY start DESC
		LIMIT ?4`
	sqlOfPrincipal = `SELECT n, record FROM anomalies WHERE principal = ?1 AND start >= ?2 AND start < ?3 ORDER BY start
		DESC LIMIT ?4`
	sqlOfPair = `SELECT n, record FROM anomalies WHERE key = ?1 AND start >= ?2 AND start < ?3 AND principal = ?5
		ORDER BY start DESC LIMIT ?4`

	sqlWindows = `SELECT start, revision, final, calls, denied, failed, anomalies, counters FROM windows
		WHERE entity = ? AND size = ? AND start >= ? AND start < ? ORDER BY start`
	sqlEnds = `SELECT (SELECT start FROM windows WHERE entity = ?1 AND size = ?2 ORDER BY start LIMIT 1),
		(SELECT start FROM windows WHERE entity = ?1 AND size = ?2 ORDER BY start DESC LIMIT 1)`
	sqlPeersOfKey = `SELECT e.id, n.text FROM entities e JOIN names n ON n.id = e.principal WHERE e.key = ?1 AND
		e.scope = 'pair' LIMIT ?2`
	sqlPeersOfPrincipal = `SELECT e.id, n.text FROM entities e JOIN names n ON n.id = e.key WHERE e.principal = ?1 AND
		e.scope = 'pair' LIMIT ?2`
	sqlSum = `SELECT SUM(calls), SUM(denied), SUM(failed), MIN(start), MAX(start) FROM windows
		WHERE entity = ? AND size = ? AND start >= ? AND start < ?`

	sqlSegments = `SELECT n, count FROM events WHERE last >= ?1 AND first < ?2 ORDER BY last DESC`
	sqlSegment  = `SELECT data FROM events WHERE n = ?`
	sqlName     = `SELECT text FROM names WHERE id = ?`

	sqlPruneWindows = `DELETE FROM windows WHERE (entity, size, start) IN
		(SELECT entity, size, start FROM windows WHERE start < ? ORDER BY start LIMIT ?)`
	sqlPruneMarks     = `DELETE FROM marks WHERE start IN (SELECT start FROM marks WHERE start < ? ORDER BY start LIMIT ?)`
	sqlPruneAnomalies = `DELETE FROM anomalies WHERE n IN (SELECT n FROM anomalies WHERE start < ? ORDER BY start LIMIT ?)`
	sqlPruneEvents    = `DELETE FROM events WHERE n IN (SELECT n FROM events WHERE last < ? ORDER BY last LIMIT ?)`
	sqlPruneTicks     = `DELETE FROM ticks WHERE size IN (SELECT DISTINCT size FROM ticks) AND start < ?`
	sqlNameID         = `SELECT id FROM names WHERE text = ?`
)

// These look into every name, of which there are at most maxNames.
const (
	sqlNamesWith    = `SELECT id FROM names WHERE instr(lower(text), lower(?)) LIMIT ?`
	sqlEntitiesWith = `SELECT e.id FROM names n CROSS JOIN entities e ON e.key = n.id
		WHERE instr(lower(n.text), lower(?1)) AND e.scope = ?2
		UNION ALL SELECT e.id FROM names n CROSS JOIN entities e ON e.principal = n.id
		WHERE instr(lower(n.text), lower(?1)) AND e.scope = ?2`
)
