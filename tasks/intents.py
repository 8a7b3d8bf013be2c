"""Intent of a command to a voice assistant: `python -m tasks.intents "wake me at seven"`.  BERT beside a BiLSTM."""

from tasks import Task
from tasks.floors import bag_of_words

# CLINC150's 150 intents and "oos", out of scope, in the order of its class ids.
_NAMES = """
restaurant_reviews nutrition_info account_blocked oil_change_how time weather redeem_rewards interest_rate
gas_type accept_reservations smart_home user_name report_lost_card repeat whisper_mode what_are_your_hobbies
order jump_start schedule_meeting meeting_schedule freeze_account what_song meaning_of_life
restaurant_reservation traffic make_call text bill_balance improve_credit_score change_language no
measurement_conversion timer flip_coin do_you_have_pets balance tell_joke last_maintenance exchange_rate uber
car_rental credit_limit oos shopping_list expiration_date routing meal_suggestion tire_change todo_list
card_declined rewards_balance change_accent vaccines reminder_update food_last change_ai_name bill_due
who_do_you_work_for share_location international_visa calendar translate carry_on book_flight insurance_change
todo_list_update timezone cancel_reservation transactions credit_score report_fraud spending_history directions
spelling insurance what_is_your_name reminder where_are_you_from distance payday flight_status find_phone
greeting alarm order_status confirm_reservation cook_time damaged_card reset_settings pin_change
replacement_card_duration new_card roll_dice income taxes date who_made_you pto_request tire_pressure
how_old_are_you rollover_401k pto_request_status how_busy application_status recipe calendar_update play_music
yes direct_deposit credit_limit_change gas pay_bill ingredients_list lost_luggage goodbye what_can_i_ask_you
book_hotel are_you_a_bot next_song change_speed plug_type maybe w2 oil_change_when thank_you
shopping_list_update pto_balance order_checks travel_alert fun_fact sync_device schedule_maintenance apr
transfer ingredient_substitution calories current_location international_fees calculator definition next_holiday
update_playlist mpg min_payment change_user_name restaurant_suggestion travel_notification cancel pto_used
travel_suggestion change_volume
"""
LABELS = tuple(_NAMES.split())

TASK = Task(
    name="intents",
    title="tell what a command to a voice assistant asks for, or that it is out of scope",
    kind="text_classification",
    hub_task="text-classification",
    transformer="bert",
    sources=("clinc/clinc_oos",),
    licences={"clinc/clinc_oos": "CC BY 3.0 (Larson et al. 2019)"},
    columns={"input": ("text",), "target": ("intent", "label")},
    labels=LABELS,
    out_of_scope="oos",
    metrics=("in_scope_accuracy", "f1", "out_of_scope_recall", "ece"),
    floor="TF-IDF + logistic regression",
    make_floor=bag_of_words,
    example="wake me at seven tomorrow",
)

if __name__ == "__main__":
    from tasks.cli import main

    raise SystemExit(main(TASK))
