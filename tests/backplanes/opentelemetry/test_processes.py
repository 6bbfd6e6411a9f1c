"""Programs that fork, and programs that fall off their end."""

from __future__ import annotations

from pathlib import Path

import pytest
from child_programs import Events, Program
from otlp_receiver import OtlpReceiver, values


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path, Events(tmp_path / "unused"))


def subjects(receiver: OtlpReceiver) -> list[object]:
    return sorted(str(values(s.attributes)["experiment.subject.id"]) for s in receiver.spans)


def test_each_process_has_its_own_connections(receiver: OtlpReceiver, program: Program) -> None:
    code, out, err = program.run(
        """
        from experiment_framework_opentelemetry import *

        otlp = OtlpOptions(endpoint=sys.argv[2])
        plane = DataPlane(OpenTelemetryBackplane(OpenTelemetryOptions(otlp=otlp)))
        plane.publish(exposure("parent-1"))
        assert plane.flush(20).delivered == 1
        child = os.fork()
        plane.publish(exposure("parent-2" if child else "child"))
        assert plane.flush(20).delivered == (2 if child else 1)
        assert plane.close(5).is_complete
        if not child:
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        print("done")
        """,
        receiver.endpoint,
    )
    assert (code, out, err) == (0, "done\n", "")
    assert subjects(receiver) == ["child", "parent-1", "parent-2"]


def test_what_a_program_leaves_at_its_end_is_sent(receiver: OtlpReceiver, program: Program) -> None:
    code, _, err = program.run(
        """
        from experiment_framework_opentelemetry import *

        otlp = OtlpOptions(endpoint=sys.argv[2])
        plane = DataPlane(OpenTelemetryBackplane(OpenTelemetryOptions(otlp=otlp)))
        for number in range(100):
            plane.publish(exposure(number))
        """,
        receiver.endpoint,
    )
    assert (code, err) == (0, "")
    assert len(receiver.spans) == 100


def test_the_sdk_still_takes_spans_when_the_program_ends(program: Program) -> None:
    # The SDK shuts itself down at exit, and takes nothing from then on, without a word.
    code, out, err = program.run(
        """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import *
        from experiment_framework_opentelemetry import *

        class Printing(SpanExporter):
            def export(self, spans):
                print(*[span.name for span in spans], flush=True)
                return SpanExportResult.SUCCESS

        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(Printing()))
        trace.set_tracer_provider(provider)
        plane = DataPlane(OpenTelemetryBackplane())
        plane.publish(exposure("user-1"))
        """
    )
    assert (code, out, err) == (0, "Exposure\n", "")
