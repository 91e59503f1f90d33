package keytrail;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeHint;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.api.java.tuple.Tuple5;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * Counts calls per KMS key, per principal and per pair of both in windows of event
 * time, each call once, exactly once: what stages count and detect of Keytrail do
 * before they judge, written as one writes it with Flink.
 */
public final class FlinkCounts {
  private static final Duration SIZE = Duration.ofMinutes(5);
  private static final Duration DISORDER = Duration.ofHours(1);

  private FlinkCounts() {}

  /** A call: id, time in ms, principal, KMS key, second KMS key or "". */
  private static final class Call extends Tuple5<String, Long, String, String, String> {
    static final TypeInformation<Tuple5<String, Long, String, String, String>> TYPE =
        TypeInformation.of(new TypeHint<Tuple5<String, Long, String, String, String>>() {});
  }

  /**
   * Arguments: brokers, name, input topic, output topic, state directory, end of event time in ms.
   * It reads the input up to the end that it has now, and writes "done" when its last transaction is
   * committed.
   */
  public static void main(String[] args) throws Exception {
    Configuration conf = new Configuration();
    conf.set(StateBackendOptions.STATE_BACKEND, "rocksdb");
    conf.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, "file://" + args[4]);
    conf.set(CheckpointingOptions.INCREMENTAL_CHECKPOINTS, true);
    conf.set(RestartStrategyOptions.RESTART_STRATEGY, "disable");
    StreamExecutionEnvironment env = StreamExecutionEnvironment.createLocalEnvironment(2, conf);
    env.enableCheckpointing(1000, CheckpointingMode.EXACTLY_ONCE);

    KafkaSource<Tuple5<String, Long, String, String, String>> source =
        KafkaSource.<Tuple5<String, Long, String, String, String>>builder()
            .setBootstrapServers(args[0])
            .setGroupId(args[1])
            .setTopics(args[2])
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setBounded(OffsetsInitializer.latest())
            .setDeserializer(new Read())
            .build();
    KafkaSink<Tuple3<String, Long, Long>> sink =
        KafkaSink.<Tuple3<String, Long, Long>>builder()
            .setBootstrapServers(args[0])
            .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
            .setTransactionalIdPrefix(args[1])
            .setProperty("transaction.timeout.ms", "600000") // the broker allows 15 minutes, Flink's default is an hour
            .setRecordSerializer(new Write(args[3]))
            .build();
    env.fromSource(
            source,
            WatermarkStrategy.<Tuple5<String, Long, String, String, String>>forBoundedOutOfOrderness(DISORDER)
                .withTimestampAssigner((call, time) -> call.f1),
            "calls",
            Call.TYPE)
        .keyBy(call -> call.f0, Types.STRING)
        .process(new Split(Long.parseLong(args[5])))
        .returns(Types.STRING)
        .keyBy(entity -> entity, Types.STRING)
        .window(TumblingEventTimeWindows.of(SIZE))
        .aggregate(new Count(), new Start(), Types.LONG, Types.LONG, Types.TUPLE(Types.STRING, Types.LONG, Types.LONG))
        .sinkTo(sink);
    env.execute();
    System.out.println("done");
    Thread.sleep(Long.MAX_VALUE); // the benchmark reads the process's use, and ends it
  }

  private static final class Read implements KafkaRecordDeserializationSchema<Tuple5<String, Long, String, String, String>> {
    private transient LogRecord in;

    @Override
    public void deserialize(ConsumerRecord<byte[], byte[]> r, Collector<Tuple5<String, Long, String, String, String>> out)
        throws IOException {
      if (in == null) {
        in = new LogRecord();
      }
      in.read(r.value());
      String id = new String(r.key(), StandardCharsets.UTF_8);
      out.collect(Tuple5.of(id, in.timeMs, in.principal, in.key, in.secondKey == null ? "" : in.secondKey));
    }

    @Override
    public TypeInformation<Tuple5<String, Long, String, String, String>> getProducedType() {
      return Call.TYPE;
    }
  }

  /** Drops duplicates, and makes of each call one record for each of its entities, at the event's time. */
  private static final class Split extends KeyedProcessFunction<String, Tuple5<String, Long, String, String, String>, String> {
    private final long until;
    private transient ValueState<Boolean> seen;

    Split(long until) {
      this.until = until;
    }

    @Override
    public void open(OpenContext c) {
      seen = getRuntimeContext().getState(new ValueStateDescriptor<>("seen", Types.BOOLEAN));
    }

    @Override
    public void processElement(Tuple5<String, Long, String, String, String> call, Context c, Collector<String> out)
        throws IOException {
      if (call.f1 >= until || seen.value() != null) {
        return;
      }
      seen.update(true);
      out.collect("principal\n" + call.f2);
      key(call.f3, call.f2, out);
      if (!call.f4.isEmpty()) {
        key(call.f4, call.f2, out);
      }
    }

    private static void key(String arn, String principal, Collector<String> out) {
      out.collect("key\n" + arn);
      out.collect("pair\n" + arn + "\n" + principal);
    }
  }

  private static final class Count implements AggregateFunction<String, Long, Long> {
    @Override
    public Long createAccumulator() {
      return 0L;
    }

    @Override
    public Long add(String entity, Long n) {
      return n + 1;
    }

    @Override
    public Long getResult(Long n) {
      return n;
    }

    @Override
    public Long merge(Long a, Long b) {
      return a + b;
    }
  }

  /** Adds the entity and the start of the window to a count. */
  private static final class Start extends ProcessWindowFunction<Long, Tuple3<String, Long, Long>, String, TimeWindow> {
    @Override
    public void process(String entity, Context c, Iterable<Long> counts, Collector<Tuple3<String, Long, Long>> out) {
      out.collect(Tuple3.of(entity, c.window().getStart(), counts.iterator().next()));
    }
  }

  /** Writes a count as Kafka Streams does: entity and start of the window are the key. */
  private static final class Write implements KafkaRecordSerializationSchema<Tuple3<String, Long, Long>> {
    private final String topic;

    Write(String topic) {
      this.topic = topic;
    }

    @Override
    public ProducerRecord<byte[], byte[]> serialize(Tuple3<String, Long, Long> w, KafkaSinkContext c, Long time) {
      byte[] entity = w.f0.getBytes(StandardCharsets.UTF_8);
      byte[] key = ByteBuffer.allocate(entity.length + 8).put(entity).putLong(w.f1).array();
      return new ProducerRecord<>(topic, key, ByteBuffer.allocate(8).putLong(w.f2).array());
    }
  }
}
