package keytrail;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * What counting needs of an OTLP ExportLogsServiceRequest that holds one log record,
 * read in one pass over the protobuf: all other fields are skipped, which is cheaper
 * than the classes that protoc makes.
 */
final class LogRecord {
  private static final byte[] KEY = ascii("aws.kms.key.arn");
  private static final byte[] SECOND = ascii("aws.kms.destination_key.arn");
  private static final byte[] PRINCIPAL = ascii("keytrail.principal.id");

  long timeMs;
  String key; // "-" when the event has none
  String secondKey; // or null
  String principal;

  private byte[] b;
  private int at;

  private static byte[] ascii(String s) {
    return s.getBytes(StandardCharsets.US_ASCII);
  }

  void read(byte[] value) {
    b = value;
    at = 0;
    timeMs = 0;
    key = principal = "-";
    secondKey = null;
    message(value.length, 0);
  }

  /** Walks a message down the path resource_logs, scope_logs, log_records: level 0, 1, 2; 3 is the record. */
  private void message(int end, int level) {
    while (at < end) {
      int tag = (int) varint();
      if ((tag & 7) != 2) {
        scalar(tag, level);
        continue;
      }
      int length = (int) varint();
      int next = at + length;
      boolean down = level == 0 && tag == (1 << 3 | 2) || level == 1 && tag == (2 << 3 | 2) || level == 2 && tag == (2 << 3 | 2);
      if (down) {
        message(next, level + 1);
      } else if (level == 3 && tag == (6 << 3 | 2)) {
        attribute(next);
      }
      at = next;
    }
  }

  private void scalar(int tag, int level) {
    switch (tag & 7) {
      case 0 -> varint();
      case 1 -> {
        if (level == 3 && tag == (1 << 3 | 1)) {
          timeMs = fixed64() / 1_000_000;
        }
        at += 8;
      }
      case 5 -> at += 4;
      default -> throw new IllegalArgumentException("wire type of tag " + tag);
    }
  }

  /** Reads a KeyValue: key is field 1, value is field 2, and its string_value field 1. */
  private void attribute(int end) {
    int name = 0, nameEnd = 0;
    while (at < end) {
      int tag = (int) varint();
      int next = (int) varint() + at; // both fields are length-delimited
      if (tag == (1 << 3 | 2)) {
        name = at;
        nameEnd = next;
      } else if (tag == (2 << 3 | 2) && at < next && b[at] == (1 << 3 | 2)) {
        text(name, nameEnd);
      }
      at = next;
    }
  }

  private void text(int name, int nameEnd) {
    if (is(KEY, name, nameEnd)) {
      key = string();
    } else if (is(PRINCIPAL, name, nameEnd)) {
      principal = string();
    } else if (is(SECOND, name, nameEnd)) {
      secondKey = string();
    }
  }

  private String string() {
    at++;
    int length = (int) varint();
    return new String(b, at, length, StandardCharsets.UTF_8);
  }

  private boolean is(byte[] want, int from, int to) {
    return Arrays.equals(want, 0, want.length, b, from, to);
  }

  private long varint() {
    long v = 0;
    for (int shift = 0; ; shift += 7) {
      byte c = b[at++];
      v |= (long) (c & 0x7f) << shift;
      if (c >= 0) {
        return v;
      }
    }
  }

  private long fixed64() {
    long v = 0;
    for (int i = 7; i >= 0; i--) {
      v = v << 8 | b[at + i] & 0xff;
    }
    return v;
  }
}
