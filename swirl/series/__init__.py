"""From a closed window to the points of its series.

Series are conditional by construction: what a stage did given what it received, so that an effect that is
passed on leaves no trace downstream. Plain rates are shown beside them and are not judged. A ratio keeps its
numerator and its denominator to the end.

========================  ============  =======================================================
metric                    kind          what it is
========================  ============  =======================================================
records                   rate          records that arrived; judged at sources
input_ratio               level         records that arrived, as a factor of what was sent
invalid_ratio             ratio         invalid of records
error_ratio               ratio         errors of records that were not invalid
output_ratio              ratio         passed on, of records that were neither invalid nor errors
prediction_ratio          ratio         one label of all valid predictions
null_ratio                ratio         null feature values of all
ratio                     ratio         the user's own, of one stage or across two
counter_level             level         the user's own counter per record, unless a ratio has it on top
latency_p50               level         median time per record, given the load
latency_p95               positive      0.95 quantile of the time per record, given its median
lag                       positive      time of sending minus event time, of what came last
version_contrast          level         newest version against the others in the same window, in sigmas
drift                     distribution  a feature against its baseline
prediction_drift          distribution  numeric predictions, or labels of which a reference is given
cardinality               distribution  different labels of a feature, given how many records there are
observed_drift            distribution  the user's own observation against its baseline
segment_ratio             ratio         records of one segment, of all that have a segment
segment_invalid_ratio     ratio         invalid of the records of one segment
segment_error_ratio       ratio         errors of its records that were not invalid
segment_prediction_ratio  ratio         one label of its valid predictions: ``"DE: positive"``
invalid, errors, out      shown         per second; their limits are those of their ratio
count                     shown         the user's own counter per second
========================  ============  =======================================================
"""

from swirl.series.counts import count_stage, counter, merged_distribution
from swirl.series.floors import FLOORS, is_material
from swirl.series.judged import measure
from swirl.series.shown import Shown, show
from swirl.series.table import Measured, SeriesTable

__all__ = [
    "FLOORS",
    "Measured",
    "SeriesTable",
    "Shown",
    "count_stage",
    "counter",
    "is_material",
    "measure",
    "merged_distribution",
    "show",
]
